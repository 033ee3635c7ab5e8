//! A user who holds as many connections to the socket for users as the system lets them have.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mfa_protocol::message::Request;

use crate::peer::Peer;
use crate::requests::{bytes_of, login};

/// Many connections of one user, each held in one of the ways in which a connection can be held.
#[derive(Debug)]
pub struct Siege {
    over: Arc<AtomicBool>,
    keeper: JoinHandle<usize>,
}

impl Siege {
    /// Makes that many, and makes them anew as they end.
    pub fn lay(mut peer: Peer, connections: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let held: Vec<_> = (0..connections).map(|number| hold(&mut peer, number)).collect();
        let told = Arc::clone(&over);
        let keeper = thread::spawn(move || keep(peer, held, &told));
        Self { over, keeper }
    }

    /// Ends it: how many connections were made.
    pub fn lift(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.keeper.join().unwrap()
    }
}

fn hold(peer: &mut Peer, number: usize) -> UnixStream {
    let mut stream = peer.connect();
    let request = bytes_of(&Request::Login(Box::new(login("alice"))));
    let oversized = (64 * 1024 + 1u32).to_le_bytes();
    // Who is turned away meanwhile has nobody to send to.
    let _ = match number % 8 {
        0 => Ok(()),
        1 => stream.write_all(&[9, 0]),
        2 => stream.write_all(&request[..request.len() - 1]),
        3 => stream.shutdown(Shutdown::Write),
        4 => stream.write_all(&[0xff; 4096]),
        5 => stream.write_all(&oversized),
        // Waits at the prompt, for as long as a person may take.
        6 => stream.write_all(&request),
        // The rest of it is sent now and then.
        _ => stream.write_all(&request[..1]),
    };
    stream.set_nonblocking(true).unwrap();
    stream
}

/// A byte now and then for those that are slow, and a new connection for some that have ended.
fn keep(mut peer: Peer, mut held: Vec<UnixStream>, over: &AtomicBool) -> usize {
    let connections = held.len();
    let (mut made, mut turn) = (connections, 0);
    while !over.load(Ordering::Relaxed) {
        let mut anew = 0;
        for (number, stream) in held.iter_mut().enumerate() {
            if number % 8 == 7 {
                let _ = stream.write(&[0]);
            }
            let ended = match stream.read(&mut [0; 1024]) {
                Ok(length) => length == 0,
                Err(error) => error.kind() != ErrorKind::WouldBlock,
            };
            // Each in its turn, or the places would go to those alone that end at once.
            let next = (number + connections - turn) % connections < 50;
            if ended && next {
                *stream = hold(&mut peer, number);
                anew += 1;
            }
        }
        made += anew;
        turn = (turn + 50) % connections;
        thread::sleep(Duration::from_millis(100));
    }
    made
}
