//! Who is who: the system's users.

use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::{fs, io};

use mfa_sys::groups;
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User, getgrouplist};

use crate::store::{Owner, is_nobodys};

/// Bytes of a name beyond which nobody is asked about it; useradd(8) allows 32, NSS sources more.
const LONGEST_NAME: usize = 256;

/// Where most hosts have their users, passwd(5).
const FILE: &str = "/etc/passwd";

/// The user database.
pub trait Users {
    /// The user of this name, under the name that the database itself gives.
    fn by_name(&self, name: &[u8]) -> io::Result<Option<Owner>>;

    /// The user of this uid.
    fn by_uid(&self, uid: u32) -> io::Result<Option<Owner>>;

    /// The names that may be had for many uids at once. Whether one is somebody's name is still to be shown:
    /// it is the name service that says so, and for one uid after the other glibc reads the whole file
    /// each time (10,000 users: 3 s).
    fn candidates(&self) -> HashMap<u32, Vec<String>> {
        HashMap::new()
    }

    /// Those of the groups that the user of this name is in. A group that the system does not know
    /// has nobody in it; one that it cannot say anything of is an error.
    fn groups(&self, user: &[u8], among: &BTreeSet<&str>) -> io::Result<BTreeSet<String>>;

    /// Whether there is a group of this name.
    fn has_group(&self, name: &str) -> io::Result<bool>;
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

    fn candidates(&self) -> HashMap<u32, Vec<String>> {
        in_file(&fs::read(FILE).unwrap_or_default())
    }

    fn groups(&self, user: &[u8], among: &BTreeSet<&str>) -> io::Result<BTreeSet<String>> {
        let plausible = std::str::from_utf8(user).ok().filter(|name| is_plausible(name));
        let Some((name, c_name)) = plausible.zip(CString::new(user).ok()) else {
            return Ok(BTreeSet::new());
        };
        // Here any error is one. Of a source that is down (nslcd, winbind, sssd) glibc says ENOENT or
        // whatever connect(2) says, and nothing of a group that is not there; to take the one for the
        // other would let in unasked who is in a group that is asked.
        let primary = User::from_name(name)?.map_or(NO_GROUP, |user| user.gid);
        let own = getgrouplist(&c_name, primary)?;
        let mut in_them = BTreeSet::new();
        for group in among {
            if gid_of(group)?.is_some_and(|gid| own.contains(&gid)) {
                in_them.insert((*group).to_owned());
            }
        }
        Ok(in_them)
    }

    fn has_group(&self, name: &str) -> io::Result<bool> {
        Ok(gid_of(name)?.is_some())
    }
}

/// Who is named in a file of the form of passwd(5).
fn in_file(content: &[u8]) -> HashMap<u32, Vec<String>> {
    let mut names: HashMap<u32, Vec<String>> = HashMap::new();
    for line in content.split(|byte| *byte == b'\n') {
        let mut fields = std::str::from_utf8(line).unwrap_or_default().split(':');
        let (name, _, uid) = (fields.next(), fields.next(), fields.next());
        // "+" and "-" say whom to take in from elsewhere, or not, nsswitch.conf(5).
        let name = name.filter(|name| is_plausible(name) && !name.starts_with(['+', '-']));
        if let (Some(name), Some(Ok(uid))) = (name, uid.map(str::parse)) {
            names.entry(uid).or_default().push(name.to_owned());
        }
    }
    names
}

fn gid_of(group: &str) -> io::Result<Option<Gid>> {
    // No database has a name with a NUL in it.
    let Ok(name) = CString::new(group) else { return Ok(None) };
    Ok(groups::gid_of(&name)?.map(Gid::from_raw))
}

/// The gid that stands for none, chown(2).
const NO_GROUP: Gid = Gid::from_raw(u32::MAX);

/// A name that some database could know. What is not is nobody's, and never reaches NSS modules.
fn is_plausible(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && !name.contains([':', '/'])
        && !name.chars().any(char::is_control)
}

fn found(result: nix::Result<Option<User>>) -> io::Result<Option<Owner>> {
    Ok(known(result)?
        // A decoy's uid is nobody's, and a record needs a name to be bound to.
        .filter(|user| !is_nobodys(user.uid.as_raw()) && !user.name.is_empty())
        .map(|user| Owner { uid: user.uid.as_raw(), name: user.name }))
}

/// Whoever is not found is asked or refused, never let in: here what may be a source that is down can be
/// taken for a user who is not there.
fn known(result: nix::Result<Option<User>>) -> io::Result<Option<User>> {
    match result {
        Ok(entry) => Ok(entry),
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
    fn groups_are_those_that_the_system_has_the_user_in() {
        let root = System.by_uid(0).unwrap().unwrap().name;
        let among = BTreeSet::from(["root", "daemon", "no such group"]);
        let groups = System.groups(root.as_bytes(), &among).unwrap();
        assert_eq!(groups, BTreeSet::from(["root".to_owned()]));
        for nobody in [&b"no such user"[..], b"../x", b"\xff", b""] {
            assert!(System.groups(nobody, &among).unwrap().is_empty());
        }
        assert!(System.has_group("root").unwrap() && !System.has_group("no such group").unwrap());
    }

    #[test]
    fn a_file_of_users_names_them_by_uid_and_what_is_no_user_not_at_all() {
        let file = b"root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\n# x:x:5:5\nalice:x:1000:1000::/:\n\
                     +:x:7:7::/:\n+bob:x:8:8::/:\n-carol:x:9:9::/:\n\xff:x:10:10::/:\na/b:x:11:11::/:\n\
                     cut:x\nword:x:one:1::/:\ndave:x:12:12::/:";
        let known = in_file(file);
        let names = |uid| known.get(&uid).map(|names| names.join(" "));
        assert_eq!(names(0).as_deref(), Some("root toor"));
        assert_eq!(names(1000).as_deref(), Some("alice"));
        assert_eq!(names(12).as_deref(), Some("dave"));
        assert_eq!(known.keys().filter(|uid| ![0, 5, 12, 1000].contains(uid)).count(), 0);
        let root = System.by_uid(0).unwrap().unwrap().name;
        assert!(System.candidates()[&0].contains(&root));
    }

    #[test]
    fn root_is_root() {
        let root = System.by_uid(0).unwrap().unwrap();
        assert_eq!(System.by_name(root.name.as_bytes()).unwrap(), Some(root));
    }
}
