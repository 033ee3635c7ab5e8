//! Who is who: the system's users.

use std::io;

use nix::errno::Errno;
use nix::unistd::{Uid, User};

use crate::store::{Owner, is_nobodys};

/// Bytes of a name beyond which nobody is asked about it; useradd(8) allows 32, NSS sources more.
const LONGEST_NAME: usize = 256;

/// The user database.
pub trait Users {
    /// The user of this name, under the name that the database itself gives.
    fn by_name(&self, name: &[u8]) -> io::Result<Option<Owner>>;

    /// The user of this uid.
    fn by_uid(&self, uid: u32) -> io::Result<Option<Owner>>;
}

/// The name service of the system (nsswitch.conf(5)).
#[derive(Debug, Clone, Copy)]
pub struct System;

impl Users for System {
    fn by_name(&self, name: &[u8]) -> io::Result<Option<Owner>> {
        match std::str::from_utf8(name) {
            Ok(name) if is_plausible(name) => found(User::from_name(name)),
            _ => Ok(None),
        }
    }

    fn by_uid(&self, uid: u32) -> io::Result<Option<Owner>> {
        found(User::from_uid(Uid::from_raw(uid)))
    }
}

/// A name that some database could know. What is not is nobody's, and never reaches NSS modules.
fn is_plausible(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.contains([':', '/'])
        && !name.chars().any(char::is_control)
}

fn found(result: nix::Result<Option<User>>) -> io::Result<Option<Owner>> {
    match result {
        Ok(user) => Ok(user
            // A decoy's uid is nobody's, and a record needs a name to be bound to.
            .filter(|user| !is_nobodys(user.uid.as_raw()) && !user.name.is_empty())
            .map(|user| Owner { uid: user.uid.as_raw(), name: user.name })),
        // Ways of saying "no such user", getpwnam(3).
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EBADF | Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_nobody() {
        let long = "a".repeat(300);
        let names: [&[u8]; 9] = [
            b"",
            b".",
            b"../x",
            b"a\nb",
            b"root:x",
            b"a\0b",
            b"\xff\xfe",
            long.as_bytes(),
            b"/root",
        ];
        for name in names {
            assert_eq!(System.by_name(name).unwrap(), None, "{name:?}");
        }
    }

    #[test]
    fn root_is_root() {
        let root = System.by_uid(0).unwrap().unwrap();
        assert_eq!(System.by_name(root.name.as_bytes()).unwrap(), Some(root));
    }
}
