//! Datagrams that servers of nine protocols really sent, by protocol: `tests/vectors/wire-captures.json`.

use serde_json::Value;

/// Requests with their replies.
pub(crate) fn pairs(peer: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let captures = captures();
    let group = captures["groups"].as_array().unwrap().iter().find(|group| group["peer"] == peer).unwrap();
    let mut pairs = Vec::new();
    for captured in group["exchanges"].as_array().unwrap() {
        if captured.get("request").is_some() {
            pairs.push((hex(&captured["request"]), hex(&captured["reply"])));
        } else if captured["by"] != "client coap-client-async" {
            let conversation = conversation(peer, captured["by"].as_str().unwrap());
            for window in conversation.windows(2) {
                if let [(true, request), (false, reply)] = window {
                    pairs.push((request.clone(), reply.clone()));
                }
            }
        }
    }
    pairs
}

/// Datagrams in order, with whether they are the client's.
pub(crate) fn conversation(peer: &str, by: &str) -> Vec<(bool, Vec<u8>)> {
    let captures = captures();
    let group = captures["groups"].as_array().unwrap().iter().find(|group| group["peer"] == peer).unwrap();
    let captured = group["exchanges"].as_array().unwrap().iter().find(|captured| captured["by"] == by).unwrap();
    let datagrams = captured["datagrams"].as_array().unwrap();
    datagrams.iter().map(|datagram| (datagram["dir"] == "c2s", hex(&datagram["hex"]))).collect()
}

pub(crate) fn captures() -> Value {
    serde_json::from_str(include_str!("../vectors/wire-captures.json")).unwrap()
}

pub(crate) fn hex(digits: &Value) -> Vec<u8> {
    let digits = digits.as_str().unwrap().as_bytes();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
