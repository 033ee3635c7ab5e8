//! One run: everything that is measured, and where.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::figures::Figures;
use crate::footprint::{self, Footprint};
use crate::ground::Ground;
use crate::{crowds, growth, logins, refusals};

/// How much is measured.
pub struct Size {
    pub quick: bool,
    /// Of each login.
    pub repetitions: u32,
    /// Of each refusal.
    pub refusals: u32,
    /// Of each crowd.
    pub rounds: u32,
    /// Logins before the disk is looked at.
    pub logins: usize,
    /// Users enrolled.
    pub enrolled: &'static [u32],
}

pub const FULL: Size = Size {
    quick: false,
    repetitions: 500,
    refusals: 1_000,
    rounds: 20,
    logins: footprint::LOGINS,
    enrolled: &[10, 1_000, 10_000, 100_000],
};

pub const QUICK: Size = Size {
    quick: true,
    repetitions: 40,
    refusals: 40,
    rounds: 2,
    logins: 100,
    enrolled: &[10, 1_000],
};

/// All that came of it.
pub struct Run {
    pub size: Size,
    pub machine: Vec<(&'static str, String)>,
    pub figures: Figures,
    pub footprint: Footprint,
    /// Users enrolled, and microseconds that writing a record took.
    pub written: Vec<(u32, f64)>,
    pub took: Duration,
}

impl Run {
    /// Measures, and says on standard error how far it is.
    pub fn take(size: Size) -> Self {
        let since = Instant::now();
        let before = Processors::now();
        let say = |what: &str| eprintln!("{:>4} s  {what}", since.elapsed().as_secs());
        let mut figures = Figures::default();
        let mut ground = Ground::new();
        let mut machine = describe(&ground);
        say("logins, one after the other");
        logins::measure(&mut ground, &mut figures, size.repetitions);
        say("the store alone");
        footprint::measure_store(&mut ground, &mut figures, size.repetitions);
        say("many users at once");
        crowds::measure(&mut ground, &mut figures, size.rounds);
        say("one code many times at once");
        crowds::measure_one_code(&mut ground, &mut figures, size.rounds);
        say("disk and memory");
        let footprint = footprint::measure(&mut ground, size.logins);
        say("four refusals");
        refusals::measure(&mut ground, &mut figures, size.refusals);
        drop(ground);
        say("more and more users enrolled");
        let written = growth::measure(&mut figures, size.enrolled, size.repetitions);
        say("done");
        machine.push(("taken by the hypervisor", Processors::now().stolen_since(&before)));
        Self { size, machine, figures, footprint, written, took: since.elapsed() }
    }

    /// The file system that everybody's state is kept in.
    pub fn state_lies_on(&self) -> &str {
        self.known(STATE)
    }

    /// Whether the machine had something else to do.
    pub fn was_busy(&self) -> bool {
        let last_minute = self.known(LOAD).split(' ').next().and_then(|load| load.parse().ok());
        last_minute.is_none_or(|load: f64| load > 1.0)
    }

    fn known(&self, of: &str) -> &str {
        self.machine.iter().find(|(key, _)| *key == of).map_or("", |(_, value)| value)
    }
}

/// What the processors did since the system started, in ticks.
struct Processors {
    all: u64,
    /// Somebody else's machine ran on them meanwhile; 0 on bare metal.
    stolen: u64,
}

impl Processors {
    /// proc(5): user, nice, system, idle, iowait, irq, softirq, steal; what follows is in them.
    fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap();
        let ticks = stat.lines().next().unwrap().split_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = ticks.map(|number| number.parse().unwrap()).collect();
        Self { all: ticks.iter().sum(), stolen: ticks[7] }
    }

    fn stolen_since(&self, before: &Self) -> String {
        let (stolen, all) = (self.stolen - before.stolen, (self.all - before.all).max(1));
        format!("{}.{} %", stolen * 100 / all, stolen * 1_000 / all % 10)
    }
}

/// How many processes ran or waited for the disk in the last minute, five, fifteen.
const LOAD: &str = "load before";

/// What the file system is called of which everybody's state is.
const STATE: &str = "state lies on";

fn describe(ground: &Ground) -> Vec<(&'static str, String)> {
    let said = |argv: &[&str]| {
        let output = Command::new(argv[0]).args(&argv[1..]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let inside = |argv: &[&str]| {
        let said = ground.host.run(argv).ok();
        said.lines().map(squeeze).collect::<Vec<_>>().join(", ")
    };
    // With the directory in it that is mounted, where that is not the whole.
    let source = inside(&["findmnt", "-no", "SOURCE", "/var/lib/pam_mfa"]);
    let device = source.split('[').next().unwrap().trim_start_matches("/dev/").to_owned();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let version = "${Package} ${Version}\\n";
    let packages = ["libpam0g", "libpam-google-authenticator", "libpam-oath"];
    vec![
        ("date", said(&["date", "--utc", "+%Y-%m-%d %H:%M UTC"])),
        ("processor", cpu.map_or("unknown", |(_, model)| model).to_owned()),
        ("cores", said(&["nproc"])),
        (LOAD, said(&["cut", "-d ", "-f1-3", "/proc/loadavg"])),
        ("kernel", said(&["uname", "-sr"])),
        // Mounted there without an overlay between.
        (STATE, inside(&["findmnt", "-no", "FSTYPE,OPTIONS", "/var/lib/pam_mfa"])),
        ("with a journal", has_journal(&device)),
        ("in an image", yes_or_no(device.starts_with("loop"))),
        ("packages", inside(&[&["dpkg-query", "-W", "-f", version], &packages[..]].concat())),
        ("pam_mfa", inside(&["/usr/libexec/pam_mfa/mfa-verifier", "--version"])),
    ]
}

/// Whether the file system on a device is one of ext4's with a journal.
fn has_journal(device: &str) -> String {
    let journals = fs::read_dir("/proc/fs/jbd2").into_iter().flatten().flatten();
    let mut names = journals.map(|entry| entry.file_name().into_string().unwrap());
    yes_or_no(names.any(|name| name.rsplit_once('-').is_some_and(|(of, _)| of == device)))
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

/// One space between words.
fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
