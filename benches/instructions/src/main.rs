//! Asks a server so many times, by the requester or by a bare loop, and does nothing else: `../instructions.sh` counts
//! what that takes. It builds with the library of any commit since 3268425.
//!
//! `udp-retry-instructions echo` | `udp-retry-instructions raw|requester ADDRESS COUNT`

use std::env;
use std::hint::black_box;
use std::net::UdpSocket;
use std::time::Instant;

use udp_retry::{ReliableRequester, transaction_id};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["echo"] => echo(),
        ["raw", server, count] => raw(server, count.parse().unwrap()),
        ["requester", server, count] => requester(server, count.parse().unwrap()),
        _ => panic!("echo | raw ADDRESS COUNT | requester ADDRESS COUNT"),
    }
}

fn requester(server: &str, count: u32) {
    let mut requester = ReliableRequester::builder(transaction_id(0..4)).connect(server).unwrap();
    for n in 0..count {
        black_box(requester.request(&request(n)[..]).unwrap().payload());
    }
}

/// The least that any client does: it sends, waits, reads a clock and compares the id.
fn raw(server: &str, count: u32) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    let mut buffer = [0; 2048];
    for n in 0..count {
        let request = request(n);
        socket.send(&request).unwrap();
        let len = socket.recv(&mut buffer).unwrap();
        black_box(Instant::now());
        assert!(len >= 4 && buffer[..4] == request[..4]);
        black_box(&buffer[..len]);
    }
}

/// An id of four bytes and sixty more.
fn request(n: u32) -> [u8; 64] {
    let mut request = [7; 64];
    request[..4].copy_from_slice(&n.to_be_bytes());
    request
}

/// Until it is killed.
fn echo() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    println!("{}", socket.local_addr().unwrap());
    let mut buffer = [0; 2048];
    loop {
        if let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    }
}
