//! Messages of DNS (RFC 1035): a name to ask for, which answer belongs to which query, and what it says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A name as it travels: labels, each behind its length, and a zero.
#[derive(Clone)]
pub(crate) struct Encoded(pub(crate) Vec<u8>);

pub(crate) fn encode(name: &str) -> Result<Encoded, &'static str> {
    let labels = || name.strip_suffix('.').unwrap_or(name).split('.');
    if labels().any(|label| !(1..=63).contains(&label.len()) || !label.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err("a label has 1 to 63 characters of ASCII, and no spaces; of other names the xn-- form is sent");
    }
    let labels = labels().map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    let encoded = labels.chain([vec![0]]).collect::<Vec<_>>().concat();
    if encoded.len() > LONGEST { Err("the name is longer than 255 bytes") } else { Ok(Encoded(encoded)) }
}

/// An answer has the query's id and question; one with an error code may have no question. One that cannot be read is
/// none: a good one may follow.
pub(crate) fn answers(query: &[u8], datagram: &[u8]) -> bool {
    let echoes = || {
        if number(datagram, 4)? == 0 {
            // A server that cannot read a query repeats no part of it. Whoever guesses the id gains no more by it than by
            // an error with the question.
            return Some(query.get(..2)? == datagram.get(..2)?);
        }
        let (_, end) = name_at(query, 12)?;
        let (asked, echoed) = (query.get(12..end + 4)?, datagram.get(12..end + 4)?);
        // Servers may answer in another case. The lengths, the type and the class are no letters.
        Some(query.get(..2)? == datagram.get(..2)? && asked.eq_ignore_ascii_case(echoed))
    };
    echoes() == Some(true) && decode(datagram).is_some()
}

/// What a server says.
#[derive(PartialEq, Debug)]
pub(crate) struct Answer {
    pub(crate) rcode: u8,
    pub(crate) truncated: bool,
    pub(crate) records: Vec<Record>,
}

impl Answer {
    /// The aliases that the name leads to, and the addresses of this type that it or they have (RFC 1034 §3.6.2). What else
    /// an answer holds was not asked for, and may be anyone's.
    pub(crate) fn of(&self, name: &str, kind: u16) -> Vec<&Record> {
        let (mut names, mut kept) = (vec![name], Vec::new());
        // They may stand in any order, and lead in a circle.
        while names.len() <= LONGEST_CHAIN {
            let last = names[names.len() - 1];
            let next = self.records.iter().find_map(|record| match &record.data {
                Data::Alias(target) if record.owner.eq_ignore_ascii_case(last) => Some((record, target)),
                _ => None,
            });
            let Some((alias, target)) = next.filter(|(_, target)| !has(&names, target)) else { break };
            names.push(target);
            kept.push(alias);
        }
        let is_asked_for = |record: &&Record| match record.data {
            Data::Address(address) => address.is_ipv4() == (kind == A) && has(&names, &record.owner),
            _ => false,
        };
        kept.extend(self.records.iter().filter(is_asked_for));
        kept
    }
}

fn has(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[derive(PartialEq, Debug)]
pub(crate) struct Record {
    pub(crate) owner: String,
    pub(crate) ttl: u32,
    pub(crate) data: Data,
}

#[derive(PartialEq, Debug)]
pub(crate) enum Data {
    Address(IpAddr),
    Alias(String),
    Other,
}

pub(crate) fn decode(datagram: &[u8]) -> Option<Answer> {
    let [high, low] = *datagram.get(2..4)? else { return None };
    let (rcode, truncated, mut records) = (low & 15, high & 2 != 0, Vec::new());
    match (high & 0xf8, number(datagram, 4)?) {
        // A response to a standard query, with one question.
        (0x80, 1) => {}
        (0x80, 0) if rcode != 0 && datagram.len() >= 12 => return Some(Answer { rcode, truncated, records }),
        _ => return None,
    }
    let mut at = name_at(datagram, 12)?.1 + 4;
    for _ in 0..number(datagram, 6)? {
        match record_at(datagram, at) {
            Some((record, end)) => {
                records.push(record);
                at = end;
            }
            None if truncated => break, // some servers cut anywhere
            None => return None,
        }
    }
    Some(Answer { rcode, truncated, records })
}

/// The record there, and where it ends.
fn record_at(datagram: &[u8], at: usize) -> Option<(Record, usize)> {
    let (owner, at) = name_at(datagram, at)?;
    let (kind, class) = (number(datagram, at)?, number(datagram, at + 2)?);
    let ttl = u32::from_be_bytes(datagram.get(at + 4..at + 8)?.try_into().ok()?);
    let end = at + 10 + usize::from(number(datagram, at + 8)?);
    let bytes = datagram.get(at + 10..end)?;
    let data = match (class, kind) {
        (1, A) => Data::Address(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        (1, AAAA) => Data::Address(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        (1, CNAME) => Data::Alias(name_at(datagram, at + 10).filter(|&(_, behind)| behind == end)?.0),
        _ => Data::Other,
    };
    Some((Record { owner, ttl, data }, end))
}

/// The name there as text, and where it ends.
pub(crate) fn name_at(datagram: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut text, mut at, mut part, mut length, mut end) = (String::new(), start, start, 1, None);
    while length <= LONGEST {
        match *datagram.get(at)? {
            0 => return Some((text, end.unwrap_or(at + 1))),
            label @ 1..=63 => {
                let behind = at + 1 + usize::from(label);
                for &byte in datagram.get(at + 1..behind)? {
                    // What a terminal would obey, and what a name is written with, stays a number.
                    match byte {
                        b'.' | b'\\' | ..=b' ' | 0x7f.. => text.push_str(&format!("\\{byte:03}")),
                        _ => text.push(byte.into()),
                    }
                }
                text.push('.');
                (at, length) = (behind, length + behind - at);
            }
            0xc0.. => {
                // Only to before this part of the name, so that it ends.
                let target = usize::from(number(datagram, at)? & 0x3fff);
                end = end.or(Some(at + 2));
                (at, part) = (target, Some(target).filter(|&target| target < part)?);
            }
            _ => return None,
        }
    }
    None
}

pub(crate) fn number(datagram: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(datagram.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) const A: u16 = 1;
const CNAME: u16 = 5;
pub(crate) const AAAA: u16 = 28;

/// Bytes of a name, its lengths and the zero at its end included.
const LONGEST: usize = 255;

/// Aliases one after another; resolvers give up sooner.
const LONGEST_CHAIN: usize = 32;
