//! Two ends of connections on `/run/pam_mfa/user.sock`, for [`mfa_tests::peer`].
//!
//! - `user-socket connect SOCKET`: for each byte on standard input, which is a socket, connects
//!   there and sends the connection back: who holds it then speaks as the user that this ran as.
//! - `user-socket churn SOCKET`: connects some 2,000 times a second, sends what is no request and
//!   hangs up, until standard input ends; says how often.
//! - `user-socket serve SOCKET PROGRAM`: listens there, says `listening`, runs the program on each
//!   connection, one after the other, and says how each ended.
#![forbid(unsafe_code)]

use std::fs::{self, Permissions};
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, connect, sendmsg, socket,
};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["connect", path] => connect_for_another(path),
        ["churn", path] => {
            println!("{}", churn(path));
            Ok(())
        }
        ["serve", path, program] => serve(path, program),
        _ => Err(io::Error::other("this program is started by the tests")),
    }
}

fn connect_for_another(path: &str) -> io::Result<()> {
    let control = io::stdin().as_fd().try_clone_to_owned()?;
    let mut control = UnixStream::from(control);
    let mut byte = [0];
    while control.read(&mut byte)? == 1 {
        let connection = dial(path);
        let outcome = connection.as_ref().map_or_else(|errno| *errno as i32, |_| 0);
        let descriptors: Vec<_> = connection.iter().map(AsRawFd::as_raw_fd).collect();
        let message = [ControlMessage::ScmRights(&descriptors)];
        let message = if descriptors.is_empty() { &[][..] } else { &message };
        let outcome = outcome.to_le_bytes();
        let text = [IoSlice::new(&outcome)];
        sendmsg::<()>(control.as_raw_fd(), &text, message, MsgFlags::empty(), None)?;
    }
    Ok(())
}

/// As the faces do: without waiting.
fn dial(path: &str) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    Ok(fd)
}

fn churn(path: &str) -> usize {
    let over = thread::spawn(|| io::stdin().read_to_end(&mut vec![]));
    let mut made = 0;
    while !over.is_finished() {
        for _ in 0..20 {
            if let Ok(connection) = dial(path) {
                // Who has been turned away already has nobody to send to.
                let _ = UnixStream::from(connection).write_all(b"GET / HTTP/1.1\r\n\r\n");
                made += 1;
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    made
}

fn serve(path: &str, program: &str) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    println!("listening");
    for connection in listener.incoming() {
        let status = Command::new(program)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(connection?)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        println!("{status}");
    }
    Ok(())
}
