//! A user of a directory: an NSS source that gives names as sssd does with `use_fully_qualified_names`
//! and a short form of them: `src/directory.c`.

use std::fs;
use std::process::Command;

use crate::cache::{self, TemporaryDirectory};
use crate::host::{Host, hash};

/// The user's name.
pub const CAROL: &str = "carol@example.org";

/// The other name by which the directory knows the user.
pub const SHORT: &str = "carol";

/// The user's uid and gid, which no name stands for in `/etc/passwd`.
pub const UID: &str = "5000";

/// While this file is there, the directory says nothing of groups: as if its daemon had ended.
pub const DOWN: &str = "/run/directory.down";

impl Host {
    /// Has the directory, with [`CAROL`] in it, and the group `helpdesk` with alice, who is the host's.
    #[must_use]
    pub fn directory(self, password: &str) -> Self {
        let directory = TemporaryDirectory::new();
        let library = directory.path().join("libnss_directory.so.2");
        let status = Command::new("gcc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(&library)
            .arg(format!("-DPASSWORD_HASH=\"{}\"", hash(password)))
            .arg(format!("-DDOWN=\"{DOWN}\""))
            .arg(cache::tree().join("tests/src/directory.c"))
            .status()
            .unwrap();
        assert!(status.success(), "gcc: {status}");
        self.file("/usr/lib/libnss_directory.so.2", fs::read(&library).unwrap()).file(
            "/etc/nsswitch.conf",
            "passwd: files directory\nshadow: files directory\ngroup: files directory\n",
        )
    }
}
