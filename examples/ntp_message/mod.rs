//! Messages of NTP (RFC 5905): what a server says, which answer belongs to which request, and what can be measured.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use udp_retry::transaction::{Match, ReplyMatcher};
use udp_retry::transaction_id;

/// An answer repeats the request's transmit timestamp. One that cannot be read is none: a good one may follow.
pub(crate) fn answers(request: &[u8], datagram: &[u8]) -> bool {
    let origin = transaction_id(40..48).found_at(24);
    origin.judge(request, datagram) == Match::Reply && decode(datagram).is_some()
}

/// What a server says.
#[derive(PartialEq, Debug)]
pub(crate) struct Answer {
    pub(crate) verdict: Verdict,
    pub(crate) stratum: u8,
    /// Of the server's clock, as a power of two of a second.
    precision: i8,
    pub(crate) origin: [u8; 8],
    pub(crate) received: u64,
    pub(crate) transmitted: u64,
}

#[derive(PartialEq, Debug)]
pub(crate) enum Verdict {
    Usable,
    /// Stratum 0: the server wants to be left alone, and says why in four letters.
    Kiss([u8; 4]),
    /// It says so, or does not say when it received the request or answered it.
    Unsynchronized,
}

pub(crate) fn decode(datagram: &[u8]) -> Option<Answer> {
    let &[first, stratum, _, precision, ..] = datagram else { return None };
    let (leap, version, mode) = (first >> 6, first >> 3 & 7, first & 7);
    let eight = |at: usize| <[u8; 8]>::try_from(datagram.get(at..at + 8)?).ok();
    let (received, transmitted) = (u64::from_be_bytes(eight(32)?), u64::from_be_bytes(eight(40)?));
    let verdict = match stratum {
        0 => Verdict::Kiss(datagram.get(12..16)?.try_into().ok()?),
        1..=15 if leap != 3 && received != 0 && transmitted != 0 => Verdict::Usable,
        _ => Verdict::Unsynchronized,
    };
    let from_a_server = mode == 4 && (1..=4).contains(&version);
    let precision = precision as i8;
    from_a_server.then_some(Answer { verdict, stratum, precision, origin: eight(24)?, received, transmitted })
}

/// The clock of this host, read once: all else is measured with the one that no one sets. A wall clock that is stepped
/// while a request is under way would be a part of the delay.
pub(crate) struct Clock {
    wall: u64,
    read: Instant,
}

/// In units of 2⁻³² s: how far the clock is behind, as it was read, and how long the path took, both ways together.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Measured {
    pub(crate) offset: i64,
    pub(crate) delay: i64,
}

impl Clock {
    pub(crate) fn read() -> Self {
        Self::stopped(ntp_now(), Instant::now())
    }

    /// One that said this at that moment.
    pub(crate) fn stopped(wall: u64, read: Instant) -> Self {
        Self { wall, read }
    }

    /// What it would have said at this moment.
    fn at(&self, moment: Instant) -> u64 {
        let ahead = fixed(moment.saturating_duration_since(self.read));
        self.wall.wrapping_add(ahead).wrapping_sub(fixed(self.read.saturating_duration_since(moment)))
    }

    /// The correct time, as far as that is known now.
    pub(crate) fn corrected(&self, measured: Measured) -> u64 {
        self.wall.wrapping_add_signed(measured.offset)
    }

    /// Of an answer that came `back` to what was sent at `there`.
    ///
    /// # Errors
    ///
    /// What cannot be: the server received after it answered, or had the request for longer than it was under way. All
    /// that is left for the path is then above that time, or below nothing.
    pub(crate) fn measure(&self, there: Instant, back: Instant, answer: &Answer) -> Result<Measured, &'static str> {
        // Differences wrap, so that it does not matter in which era of 136 years either clock is.
        let minus = |a: u64, b: u64| i128::from(a.wrapping_sub(b) as i64);
        let &Answer { received, transmitted, precision, .. } = answer;
        let (under_way, held) = (minus(self.at(back), self.at(there)), minus(transmitted, received));
        if held < 0 {
            return Err("received_after_transmitted");
        }
        // A coarse clock may tick once more in between: the delay is nothing then (RFC 5905 §8).
        let tick = 1_i128 << (32 + i32::from(precision).clamp(-32, COARSEST));
        if held > under_way + tick {
            return Err("negative_delay");
        }
        // From one difference: half a cycle of 136 years apart, two would wrap to either side and cancel out.
        let delay = under_way - held;
        let offset = minus(received, self.at(there)) - delay / 2;
        Ok(Measured { offset: offset as i64, delay: delay.max(0) as i64 })
    }
}

/// Seconds since 1900 in the upper 32 bits, their fraction in the lower.
pub(crate) fn ntp_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (FROM_1900_TO_1970 << 32).wrapping_add(fixed(since))
}

fn fixed(time: Duration) -> u64 {
    let fraction = (u64::from(time.subsec_nanos()) << 32) / 1_000_000_000;
    time.as_secs() << 32 | fraction
}

/// As `2026-03-01T17:05:09.123456Z`, from 1970 to 2106.
pub(crate) fn utc(time: u64) -> String {
    let second = (time >> 32).wrapping_sub(FROM_1900_TO_1970) & 0xffff_ffff;
    let micros = ((time & 0xffff_ffff) * 1_000_000) >> 32;
    // Days of a year that begins in March, so that the leap day is its last.
    let (day, second) = (second / 86_400 + 719_468, second % 86_400);
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year + month / 10, (month + 2) % 12 + 1);
    format!("{year}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z", second / 3600, second / 60 % 60, second % 60)
}

/// 31 ms: no server's clock is coarser, whatever the server says.
const COARSEST: i32 = -5;

const FROM_1900_TO_1970: u64 = 2_208_988_800;
