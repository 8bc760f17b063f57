//! A proxy of the tool that takes commands, what is behind it, and who asks.
#![cfg(unix)]
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "processes and plain sockets, in real time")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{ChildStdout, Command};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Running, tool};

pub(crate) const MS: Duration = Duration::from_millis(1);
/// Longer than anything here takes, on whatever machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(50);

/// The tool with `--control`.
pub(crate) struct Steered {
    pub(crate) running: Running,
    stdout: BufReader<ChildStdout>,
    /// Where clients may come to, and under which name.
    pub(crate) listening: Vec<(SocketAddr, String)>,
    pub(crate) control: SocketAddr,
}

impl Steered {
    /// In front of an echo.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let service = echo().to_string();
        Self::run(&[&["--listen", "127.0.0.1:0", "--upstream", &service], arguments].concat())
    }

    pub(crate) fn run(arguments: &[&str]) -> Self {
        let mut command = tool("proxy");
        command.args(["--control", "127.0.0.1:0"]).args(arguments);
        let mut running = Running::start(&mut command, PATIENCE);
        let mut stdout = BufReader::new(running.stdout());
        let mut listening = Vec::new();
        loop {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let words: Vec<&str> = line.split_whitespace().collect();
            let address = |at: usize| words[at].parse().unwrap();
            match words[..] {
                ["listening", "on", _] => listening.push((address(2), String::new())),
                ["listening", "on", _, "as", name] => listening.push((address(2), name.to_owned())),
                ["control", "on", _] => return Self { running, stdout, listening, control: address(2) },
                _ => panic!("{line:?}: {:?}", running.end()),
            }
        }
    }

    pub(crate) fn commands(&self) -> Commands {
        Commands::to(self.control)
    }

    pub(crate) fn client(&self) -> UdpSocket {
        client(self.listening[0].0)
    }

    pub(crate) fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.running.id().to_string()]).status().unwrap().success());
    }

    /// Ends it, and returns its reports.
    pub(crate) fn reports(mut self) -> Vec<Value> {
        self.signal("-TERM");
        let mut reports = String::new();
        self.stdout.read_to_string(&mut reports).unwrap();
        let ended = self.running.end();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        reports.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"))).collect()
    }
}

/// A connection to the control port.
pub(crate) struct Commands {
    answers: BufReader<TcpStream>,
}

impl Commands {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { answers: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.answers.get_mut().write_all(bytes)
    }

    /// The next line of an answer; empty when the proxy has ended the connection.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(_) => line.trim_end_matches('\n').to_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => String::new(),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn ask(&mut self, command: &str) -> Value {
        self.send(format!("{command}\n").as_bytes()).unwrap();
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{command:?} is answered by {line:?}"))
    }

    #[track_caller]
    pub(crate) fn obeyed(&mut self, command: &str) {
        let answer = self.ask(command);
        assert_eq!((&answer["ok"], answer.get("error")), (&true.into(), None), "{command:?}: {answer}");
    }

    /// The report of the first listener.
    pub(crate) fn stats(&mut self) -> Value {
        let answer = self.ask("stats");
        assert_eq!(answer["ok"], true, "{answer}");
        answer["listeners"][0].clone()
    }

    /// Waits until the report is like that.
    #[track_caller]
    pub(crate) fn until(&mut self, like: impl Fn(&Value) -> bool) -> Value {
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            let stats = self.stats();
            if like(&stats) {
                return stats;
            }
            assert!(Instant::now() < patience, "{stats}");
            thread::sleep(5 * MS);
        }
    }
}

/// Sends back what it hears, until the test is over.
pub(crate) fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    address
}

pub(crate) fn client(proxy: SocketAddr) -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(proxy).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client
}

/// What comes back next.
pub(crate) fn ask(client: &UdpSocket, request: &[u8]) -> Vec<u8> {
    client.send(request).unwrap();
    hear(client)
}

#[track_caller]
pub(crate) fn hear(client: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let len = client.recv(&mut buffer).expect("something comes");
    buffer[..len].to_vec()
}
