//! The verifier's mailer by itself: `send-mail CONFIG ADDRESS` sends a letter and says what came of it.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Instant;

use mfa_tests::mail::{CODE, Sent};
use mfa_verifier::config::ConfigFile;
use mfa_verifier::mail::{Address, Configured, Letter, Mailer, Occasion};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [config, to] => {
            println!("{}", serde_json::to_string(&send(config, to)).unwrap());
            ExitCode::SUCCESS
        }
        _ => panic!("unknown arguments: {arguments:?}"),
    }
}

fn send(config: &str, to: &str) -> Sent {
    let config = ConfigFile::new(Some(config.into())).load().unwrap();
    let to = Address::parse(to).unwrap();
    let lifetime = 60 * u64::from(config.email.code_lifetime);
    let at = Occasion {
        host: "büro.example.org",
        user: "alice",
        service: "sshd",
        source: "192.0.2.7",
        now: 1_795_352_623,
    };
    let letter = Letter::login_code(&to, &CODE.into(), lifetime, &at);
    let begun = Instant::now();
    let sent = Configured(&config.email).send(&letter);
    let took = begun.elapsed();
    Sent { error: sent.err().map(|error| (error.to_string(), error.hint())), took }
}
