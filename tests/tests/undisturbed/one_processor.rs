//! First logins at one moment on a host with one processor: whoever opens a db makes sled's threads, which
//! are not to wait for each other there.

use std::time::{Duration, Instant};

use mfa_tests::host::PAM_CLIENT;
use mfa_tests::pam::{self, Attempt, Plan, Reaps, Report, Surroundings};
use mfa_tests::resident::ROOT_SOCKET;
use mfa_tests::traced::VERIFIER;
use mfa_tests::waiting::alone;
use mfa_tests::{Host, Running};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;

const CONFIG: &str = "[policy]\nmode = \"required\"\n[hotp]\nlook_ahead = 0\nresync = 0\n";

/// Users, each of whom logs in.
const CROWD: usize = 16;

/// How long verifiers may work for all of them together: they do for a tenth of a second. Who spins without
/// being interrupted on what another one is to do, and gets no processor for, does so until the kernel puts
/// an end to it after 950 ms (`sched_rt_runtime_us`).
const WORK: Duration = Duration::from_millis(900);

/// How long all of them may take together, on a machine that has other things to do.
const BOUND: Duration = Duration::from_secs(10);

/// How often, for each way to be pinned.
const ROUNDS: usize = 10;

/// What starts a program on one processor, with and without `CAP_SYS_NICE`: in many containers nobody can
/// be uninterrupted.
fn pinned() -> [Vec<String>; 2] {
    let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let first = (0..CpuSet::count()).find(|number| allowed.is_set(*number).unwrap()).unwrap();
    let pinned = format!("taskset --cpu-list {first}");
    let without = format!("{pinned} setpriv --bounding-set=-sys_nice");
    [pinned, without].map(|line| line.split(' ').map(str::to_owned).collect())
}

struct Crowd {
    host: Running,
    users: Vec<String>,
    /// Of each user, one for each round.
    codes: Vec<Vec<String>>,
}

impl Crowd {
    fn new(rounds: usize) -> Self {
        let users: Vec<String> = (0..CROWD).map(|number| format!("user{number}")).collect();
        let host = users.iter().fold(Host::new(), |host, user| host.user_without_password(user));
        let host = host
            .config(CONFIG)
            .pam("door", "auth required pam_mfa.so\n")
            .pam("spawn", &format!("auth required pam_mfa.so verifier={VERIFIER}\n"))
            .start();
        let codes = |user: &String| {
            host.enrol_with(user, &["hotp"]).device.codes(rounds.try_into().unwrap())
        };
        let codes = users.iter().map(codes).collect();
        Self { host, users, codes }
    }

    /// Lets all of them give their codes at once, on that one processor.
    #[track_caller]
    fn log_in(&self, pinned: &[String], service: &str, round: usize) -> Duration {
        let one = |(user, codes): (&String, &Vec<String>)| {
            Attempt::new(service, user).answer(&codes[round]).wait_at(0)
        };
        let attempts = self.users.iter().zip(&self.codes).map(one).collect();
        let command = self.host.command(&[pinned, &[PAM_CLIENT.to_owned()]].concat());
        let since = Instant::now();
        // Else nobody would know how long the verifiers worked, which are nobody's children.
        let surroundings = Surroundings { reaps: Reaps::Orphans, ..Surroundings::default() };
        let plan = Plan { race: true, attempts, surroundings, ..Plan::default() };
        let reports = pam::run_command(&command, &plan);
        let took = since.elapsed();
        assert!(reports.iter().all(Report::accepted), "{pinned:?} {round}: {reports:?}");
        took
    }
}

/// How long each round took, and verifiers worked in it.
#[track_caller]
fn assert_bounded(pinned: &[String], times: &[(Duration, Duration)]) {
    println!("{}: {times:?}", pinned.join(" "));
    assert!(times.iter().all(|(took, worked)| *took < BOUND && *worked < WORK), "{times:?}");
}

/// How long all processes worked that this one has started, and they in turn, and that have ended.
fn worked() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let both = usage.user_time() + usage.system_time();
    Duration::from_micros(both.num_microseconds().try_into().unwrap())
}

#[test]
fn sixteen_verifiers_on_one_processor_let_sixteen_users_in() {
    let _alone = alone();
    let crowd = Crowd::new(2 * ROUNDS);
    for (pinned, before) in pinned().iter().zip([0, ROUNDS]) {
        let log_in = |round| {
            let before = worked();
            let took = crowd.log_in(pinned, "spawn", round);
            (took, worked().saturating_sub(before))
        };
        let times: Vec<_> = (before..before + ROUNDS).map(log_in).collect();
        assert_bounded(pinned, &times);
    }
}

#[test]
fn a_resident_on_one_processor_lets_sixteen_users_in_whose_logins_are_its_first() {
    let _alone = alone();
    let crowd = Crowd::new(2 * ROUNDS);
    // It alone serves them: none can be spawned.
    crowd.host.shell(&format!("mv {VERIFIER} /verifier"));
    for (pinned, before) in pinned().iter().zip([0, ROUNDS]) {
        let log_in = |round| {
            let pinned_to: Vec<&str> = pinned.iter().map(String::as_str).collect();
            let listen = ["/verifier", "--listen", ROOT_SOCKET];
            let resident = crowd.host.reside_with(&[&pinned_to[..], &listen].concat());
            let took = crowd.log_in(pinned, "door", round);
            let worked = resident.worked();
            assert_eq!(resident.stop(), Some(0));
            (took, worked)
        };
        let times: Vec<_> = (before..before + ROUNDS).map(log_in).collect();
        assert_bounded(pinned, &times);
    }
}
