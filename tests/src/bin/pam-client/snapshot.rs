//! What a module must leave as it was: everything of the process that can be looked at.

use std::collections::BTreeMap;
use std::fs;

use nix::unistd::{getgroups, getresgid, getresuid};

use crate::ffi;

/// The state of this process: what, and how it is.
pub struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// Looks at it.
    pub fn take() -> Self {
        let mut all = BTreeMap::new();
        let mut note = |what: String, how: String| {
            all.insert(what, how);
        };
        note("directory".into(), link("/proc/self/cwd"));
        note("uids".into(), format!("{:?}", getresuid()));
        note("gids".into(), format!("{:?} {:?}", getresgid(), getgroups()));
        let status = fs::read_to_string("/proc/self/status").unwrap();
        for line in status.lines() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            if ["Umask", "Threads", "SigBlk", "SigPnd", "NoNewPrivs", "CapEff"].contains(&name) {
                note(name.to_lowercase(), value.trim().to_owned());
            }
        }
        for line in fs::read_to_string("/proc/self/limits").unwrap().lines().skip(1) {
            note(format!("limit {}", &line[..25].trim_end()), line[25..].trim().to_owned());
        }
        for entry in fs::read_dir("/proc/self/task").unwrap().flatten() {
            let children = fs::read_to_string(entry.path().join("children")).unwrap_or_default();
            if !children.is_empty() {
                note("children".into(), children);
            }
        }
        let looking = format!("/proc/{}/fd", std::process::id());
        for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
            let target = link(&entry.path().display().to_string());
            // That is the one that is being read.
            if target != looking {
                note(format!("descriptor {}", entry.file_name().display()), target);
            }
        }
        for (signal, action) in ffi::dispositions() {
            note(format!("signal {signal}"), action);
        }
        for (name, value) in std::env::vars_os() {
            note(format!("environment {}", name.display()), value.display().to_string());
        }
        Self(all)
    }

    /// What is otherwise in `after`.
    pub fn changes(&self, after: &Self) -> BTreeMap<String, (String, String)> {
        let value = |all: &BTreeMap<String, String>, what: &str| {
            all.get(what).cloned().unwrap_or_else(|| "nothing".to_owned())
        };
        let names = self.0.keys().chain(after.0.keys());
        names
            .map(|what| (what.clone(), (value(&self.0, what), value(&after.0, what))))
            .filter(|(_, (before, after))| before != after)
            .collect()
    }
}

/// How much memory the process holds.
pub fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or(0)
}

fn link(path: &str) -> String {
    fs::read_link(path).map_or_else(|error| error.to_string(), |to| to.display().to_string())
}
