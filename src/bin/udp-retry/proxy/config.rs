//! Several listeners from a file, a line each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use clap::Parser;

use super::Listener;
use crate::terminal::{Misuse, Outcome};

/// A listener, and the name that commands, reports and metrics call it by.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) listener: Listener,
}

/// Reads them in the order of the file. Empty lines and what follows a `#` say nothing.
///
/// Wrong usage is reported with its line.
pub(super) fn read(file: &Path) -> Outcome<Vec<Named>> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| Misuse(format!("cannot read {shown}: {error}")))?;
    let (mut names, mut addresses, mut listeners) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
    for (n, line) in text.lines().enumerate() {
        let wrong = |what: String| Misuse(format!("{shown}, line {}: {what}", n + 1));
        let Some(named) = listener(line).map_err(wrong)? else { continue };
        if !names.insert(named.name.clone()) {
            return Err(wrong(format!("there is a listener {:?} already", named.name)).into());
        }
        // Port 0 is another one each time.
        if let Some(address) = named.listener.listen.filter(|address| address.port() > 0) {
            if let Some(other) = addresses.insert(address, named.name.clone()) {
                return Err(wrong(format!("{other:?} listens on {address} already")).into());
            }
        }
        if listeners.len() == MOST_LISTENERS {
            return Err(wrong(format!("more than {MOST_LISTENERS} listeners")).into());
        }
        listeners.push(named);
    }
    match listeners.is_empty() {
        true => Err(Misuse(format!("{shown}: no listener, such as \"dns: --listen ADDR --upstream ADDR\"")).into()),
        false => Ok(listeners),
    }
}

/// `None` for a line that has none.
fn listener(line: &str) -> Result<Option<Named>, String> {
    let words = shlex::split(line).ok_or("a quote is not closed, or nothing follows a backslash")?;
    let Some((first, options)) = words.split_first() else { return Ok(None) };
    let name = first.strip_suffix(':').filter(|name| is_name(name)).ok_or_else(|| {
        format!("expected a name of letters, digits, - and _ with a colon, such as dns:, found {first:?}")
    })?;
    let Line { listener } = Line::try_parse_from(options).map_err(|error| said(&error))?;
    match listener.listen.and(listener.upstream.as_ref()) {
        Some(_) => Ok(Some(Named { name: name.to_owned(), listener })),
        None => Err("a listener needs --listen ADDR and --upstream ADDR".to_owned()),
    }
}

/// Short enough for a label, and nothing to be quoted in one.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

#[derive(Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Line {
    #[command(flatten)]
    listener: Listener,
}

/// In one line, and without the usage, which is another's.
fn said(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = || text.trim_start_matches("error: ").lines().map(str::trim);
    let what = lines().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let tips: String = lines().filter(|line| line.starts_with("tip: ")).map(|tip| format!("; {tip}")).collect();
    what + &tips
}

const MOST_LISTENERS: usize = 256;

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::proxy::process::OF_LISTENERS;

    #[test]
    fn no_option_of_a_listener_stands_beside_a_file_of_them() {
        let line = Line::command();
        let all: BTreeSet<_> = line.get_arguments().map(|it| it.get_id().as_str()).collect();
        assert_eq!(all, BTreeSet::from(OF_LISTENERS));
    }

    #[test]
    fn a_line_is_a_name_and_the_options_of_the_command_line() {
        let line =
            "dns: --listen 127.0.0.1:0 --upstream '127.0.0.1:53' --to-server \"loss 5%; delay 1ms\" --seed 7 # late";
        let Named { name, listener } = listener(line).unwrap().unwrap();
        assert_eq!((name.as_str(), listener.seed), ("dns", Some(7)));
        assert_eq!(listener.network.path(false).to_server.to_string(), "loss 5%; delay 1ms");
        for empty in ["", "   ", "# nothing", "  # dns: --listen 127.0.0.1:0"] {
            assert!(self::listener(empty).unwrap().is_none(), "{empty:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_in_one() {
        for (line, wrong) in [
            ("dns --listen 127.0.0.1:0", "found \"dns\""),
            (": --listen 127.0.0.1:0", "found \":\""),
            ("a.b: --listen 127.0.0.1:0", "found \"a.b:\""),
            ("dns: --listen 127.0.0.1:0", "--upstream"),
            ("dns:", "needs --listen ADDR and --upstream ADDR"),
            ("dns: --listen 127.0.0.1:0 --upstream \"127.0.0.1:53", "a quote is not closed"),
            ("dns: --listen 127.0.0.1:0 --upstream 127.0.0.1:53 --both \"loss 5\"", "at 7: expected `%`"),
            ("dns: --listen 127.0.0.1:0 --upstream 127.0.0.1:53 --for 5", "unexpected argument '--for'"),
            (
                "dns: --listen 127.0.0.1:0 --upstream 127.0.0.1:53 --control 127.0.0.1:0",
                "unexpected argument '--control'",
            ),
            ("dns: --help", "unexpected argument '--help'"),
            (
                "dns: --listen 127.0.0.1:0 --upstrem 127.0.0.1:53",
                "'--upstrem' found; tip: a similar argument exists: '--upstream'",
            ),
        ] {
            let said = listener(line).err().unwrap_or_else(|| panic!("{line:?} is taken"));
            assert!(said.contains(wrong) && !said.contains('\n'), "{line:?}: {said:?}");
        }
    }
}
