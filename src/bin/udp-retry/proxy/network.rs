use std::fs;

use clap::Args;
use udp_retry::fault::{LossModel, Profile, Trace};
use udp_retry::{Impairments, Probability};

use crate::terminal::remark;

/// What happens to the datagrams of both directions.
#[derive(Args)]
pub(super) struct Network {
    /// A network by its name: book_half, lan, lte, wifi_lossy, geo_satellite, evil
    #[arg(long, value_name = "NAME", value_parser = profile)]
    profile: Option<Profile>,
    /// What happens to requests, instead of what the profile says
    #[arg(long, value_name = "SPEC")]
    to_server: Option<Impairments>,
    /// What happens to replies, instead of what the profile says
    #[arg(long, value_name = "SPEC")]
    to_client: Option<Impairments>,
    /// What happens to requests and to replies
    #[arg(long, value_name = "SPEC", conflicts_with_all = ["profile", "to_server", "to_client"])]
    both: Option<Impairments>,
    /// Loses this share in each direction, such as 0.3 or 30%, whatever a profile or a SPEC says of loss
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    loss: Option<Probability>,
    /// Repeats a recording: the n-th client meets what the n-th one met
    #[arg(long, value_name = "FILE", value_parser = recording, conflicts_with_all = ["profile", "to_server", "to_client", "both", "loss"])]
    pub(super) replay: Option<Recording>,
}

/// A recording, and its file.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    pub(super) file: String,
    pub(super) trace: Trace,
    /// The line in which it ends, if that is not whole.
    torn: Option<usize>,
}

impl Recording {
    /// Says what is left out.
    pub(super) fn warn(&self) {
        if let Some(line) = self.torn {
            remark(format_args!("warning: {} ends within line {line}, which is left out", self.file));
        }
    }
}

impl Network {
    pub(super) fn path(&self, shown: bool) -> Profile {
        let telling = || Profile::both(Impairments::loss(Probability::ratio(3, 10).unwrap_or(Probability::HALF)));
        let untold =
            self.to_server.is_none() && self.to_client.is_none() && self.loss.is_none() && self.replay.is_none();
        let mut path = match (&self.profile, &self.both) {
            (Some(profile), _) => profile.clone(),
            (None, Some(both)) => Profile::both(both.clone()),
            (None, None) if shown && untold => telling(),
            (None, None) => Profile::default(),
        };
        path.to_server = self.to_server.clone().unwrap_or(path.to_server);
        path.to_client = self.to_client.clone().unwrap_or(path.to_client);
        if let Some(loss) = self.loss {
            path.to_server = path.to_server.with_loss(LossModel::Bernoulli(loss));
            path.to_client = path.to_client.with_loss(LossModel::Bernoulli(loss));
        }
        path
    }
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::named(name).ok_or_else(|| format!("there are {}", Profile::NAMES.join(", ")))
}

fn recording(file: &str) -> Result<Recording, String> {
    let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
    let (trace, torn) = Trace::from_torn(&text).map_err(|error| format!("{error}"))?;
    Ok(Recording { file: file.to_owned(), trace, torn })
}
