//! What may be said on the command line.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};
use mfa_protocol::{JUDGE_SERVICE, message};

use crate::problem::Problem;

/// Enrols second factors and manages them. Without a command it guides through an enrolment.
#[derive(Debug, Parser)]
#[command(name = "mfa-setup", bin_name = "mfa-setup", version)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can stand before or after the command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The policy file to use; the verifier is then started for this command alone (root only)
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The verifier to start (root only)
    #[arg(long, global = true, value_name = "PATH")]
    pub verifier: Option<PathBuf>,
    /// The socket of a verifier that is running
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Another user's record (root only)
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<OsString>,
    /// Answer with one JSON object
    #[arg(long, global = true)]
    pub json: bool,
    /// Answer yes to questions; does not replace a first code
    #[arg(long, global = true)]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add a device: an authenticator app (totp) or a hardware token (hotp)
    Add(Add),
    /// Show the devices, the backup codes left and the lockout
    Status,
    /// Remove a device; with the last one backup codes and tokens go too
    Remove(Label),
    /// Make a device the default
    Default(Label),
    /// Show which backup codes are left, or make new ones
    Codes(Codes),
    /// Make access tokens for scripts, list them or revoke them
    #[command(subcommand)]
    Token(Token),
    /// Show which logins are remembered, and until when
    Remembered,
    /// End what is remembered: one login by its number, or all
    Forget(Forget),
    /// Try a code as a login would, which uses it up and counts; with --resync, bring back a device
    Test(Test),
    /// Show a device's key again (root; audited)
    ShowKey(Label),
    /// Forget failures and waits (root; audited)
    Unlock,
    /// Forget every device, code and token (root; audited)
    Reset,
    /// Make the store and its key where there is neither, as root's first enrolment does (root; audited)
    Init,
    /// Make a one-time code by which a user without a password can enrol (root; audited)
    Invite(Invite),
    /// Judge the code on standard input as a login would: exit 0 accepted, or exempt where policy asks
    /// for none; 1 refused (root)
    Judge(Judge),
    /// Read the policy file as a login does, and warn of what may not be meant so (root)
    Check,
    /// Look at policy, store, clock, PAM's stacks and sshd for what keeps people out or lets them in; exit 1
    /// where something has to be mended (root)
    Doctor,
    /// Say what policy asks of a user, and by which rule (root)
    Explain(Explain),
    /// Show who has enrolled, with what, when they last got in, and who has to wait (root)
    Users,
    /// Show the devices, the backup codes left and the lockout of a user (root)
    Show(Show),
    /// Make a code that stands in for a device's, for a user who has neither that nor a backup code at hand; or
    /// end it (root; audited)
    Bypass(Bypass),
    /// Refuse a device's codes until it is enabled again (root; audited)
    Disable(Label),
    /// Judge the codes of a disabled device again (root; audited)
    Enable(Label),
    /// Require a second factor of a user where policy makes it optional, or no longer (root; audited)
    Require(Require),
    /// Take over the devices and codes of another module (root; audited)
    #[command(subcommand)]
    Import(Import),
    /// Show all devices with their keys, for another module or program (root; audited)
    Export(Export),
}

#[derive(Debug, Args)]
pub struct Label {
    /// The device's label
    pub label: String,
}

#[derive(Debug, Args)]
pub struct Add {
    /// The kind of device
    pub kind: Kind,
    /// Its name in lists
    #[arg(long)]
    pub label: Option<String>,
    /// The hash of its codes; many apps know sha1 only
    #[arg(long)]
    pub algorithm: Option<Algorithm>,
    /// The length of its codes, 6 to 8
    #[arg(long, value_name = "N")]
    pub digits: Option<u8>,
    /// How long each code lasts, 15 to 300 s (totp)
    #[arg(long, value_name = "SECONDS")]
    pub period: Option<u16>,
    /// The first counter (hotp)
    #[arg(long, value_name = "N")]
    pub counter: Option<u64>,
    /// Write the QR code as a picture to hand over, .png or .svg
    #[arg(long, value_name = "FILE")]
    pub qr: Option<PathBuf>,
    /// Read the key, one line of base32; - is standard input (root)
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Save it without a first code (root)
    #[arg(long)]
    pub no_confirm: bool,
}

impl Add {
    /// Whether nothing is asked for but a label.
    fn is_plain(&self) -> bool {
        self.algorithm.is_none()
            && self.digits.is_none()
            && self.period.is_none()
            && self.counter.is_none()
            && self.qr.is_none()
            && self.secret_file.is_none()
            && !self.no_confirm
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Time-based codes: an authenticator app
    Totp,
    /// Counter-based codes: most hardware tokens
    Hotp,
    /// Codes that are sent to an address, which is asked for and verified
    Email,
}

impl From<Kind> for message::DeviceKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Totp => Self::Totp,
            Kind::Hotp => Self::Hotp,
            Kind::Email => Self::Email,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    Sha1,
    Sha256,
    Sha512,
}

impl From<Algorithm> for message::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1,
            Algorithm::Sha256 => Self::Sha256,
            Algorithm::Sha512 => Self::Sha512,
        }
    }
}

#[derive(Debug, Args)]
pub struct Codes {
    #[command(subcommand)]
    pub command: Option<CodesCommand>,
}

#[derive(Debug, Subcommand)]
pub enum CodesCommand {
    /// Make new backup codes; the old ones end
    New {
        /// Write them as a page to print
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token, which a script gives where a person gives a code; it is shown once
    New(NewToken),
    /// Show the tokens: for what, until when, when last used and from where
    List,
    /// End a token
    Revoke {
        /// The token's name
        name: String,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Forget {
    /// The login's number, as remembered shows it
    pub number: Option<u32>,
    /// All of them
    #[arg(long)]
    pub all: bool,
}

#[derive(Debug, Args)]
pub struct NewToken {
    /// Its name in lists and in the log
    pub name: String,
    /// How long it is good: 12h, 90d, up to a year
    #[arg(
        long,
        value_name = "TIME",
        default_value = "90d",
        value_parser = humantime::parse_duration
    )]
    pub expires: Duration,
    /// A network or an address that it is good from; may be given twice. None: from anywhere
    #[arg(long, value_name = "NET")]
    pub from: Vec<String>,
    /// A PAM service that it is good for; may be given twice. None: any
    #[arg(long, value_name = "SERVICE")]
    pub service: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Test {
    /// The device to bring back
    #[arg(requires = "resync")]
    pub label: Option<String>,
    /// Bring back a device whose clock is up to 12 hours off, or whose counter ran ahead, by three codes
    /// in a row; users need a backup code for it
    #[arg(long, requires = "label")]
    pub resync: bool,
}

#[derive(Debug, Args)]
pub struct Invite {
    /// The user
    pub name: OsString,
    /// How long the code is good: 30m, 24h, 7d, up to 31 days
    #[arg(
        long = "for",
        value_name = "TIME",
        default_value = "24h",
        value_parser = humantime::parse_duration
    )]
    pub lifetime: Duration,
}

#[derive(Debug, Args)]
pub struct Bypass {
    /// The user
    pub name: OsString,
    /// How long the code is good: 30m, 1h, 7d, up to 31 days
    #[arg(
        long = "for",
        value_name = "TIME",
        default_value = "1h",
        value_parser = humantime::parse_duration
    )]
    pub lifetime: Duration,
    /// For how many logins and changes it is good, 1 to 100
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub uses: u32,
    /// End the code that there is, and make none
    #[arg(long, conflicts_with_all = ["lifetime", "uses"])]
    pub revoke: bool,
}

#[derive(Debug, Args)]
pub struct Require {
    /// The user
    pub name: OsString,
    /// No longer
    #[arg(long)]
    pub off: bool,
}

#[derive(Debug, Args)]
pub struct Judge {
    /// The PAM service whose policy holds
    #[arg(long, default_value = JUDGE_SERVICE, value_parser = service)]
    pub service: String,
    /// The address that the login comes from
    #[arg(long, value_name = "ADDR")]
    pub from: Option<IpAddr>,
}

#[derive(Debug, Args)]
pub struct Explain {
    /// The user
    pub name: OsString,
    /// The PAM service
    #[arg(long, value_parser = service)]
    pub service: String,
    /// The remote host, as PAM would have it; without it, this host itself
    #[arg(long, value_name = "ADDR")]
    pub from: Option<String>,
    /// The terminal, as PAM would have it: tty1, pts/0, :0
    #[arg(long, value_name = "TTY")]
    pub tty: Option<String>,
    /// When: 2026-12-01, "2026-12-01 08:00" (local time), 2026-12-01T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
}

#[derive(Debug, Args)]
pub struct Show {
    /// The user
    pub name: OsString,
}

#[derive(Debug, Subcommand)]
pub enum Import {
    /// Take over a user's key, drift, counter, what was used, and scratch codes (root; audited)
    #[command(name = "google-authenticator")]
    GoogleAuthenticator {
        /// The file; without it, the one in the user's home
        file: Option<PathBuf>,
        /// The file in the home of every user in /etc/passwd
        #[arg(long, conflicts_with = "file")]
        all: bool,
        #[command(flatten)]
        how: ImportHow,
    },
    /// Take over keys, counters and what was used, of one user or of all in the file (root; audited)
    #[command(name = "pam_oath")]
    PamOath {
        /// The file; without it, /etc/users.oath
        file: Option<PathBuf>,
        /// All users in the file, as without --user
        #[arg(long)]
        all: bool,
        /// Take a key also where a PIN is asked for with its codes; the PIN is not taken over
        #[arg(long)]
        without_pin: bool,
        #[command(flatten)]
        how: ImportHow,
    },
}

impl Import {
    /// Whether it is about more than one user.
    fn is_about_all(&self) -> bool {
        match self {
            Self::GoogleAuthenticator { all, .. } | Self::PamOath { all, .. } => *all,
        }
    }
}

#[derive(Debug, Args)]
pub struct ImportHow {
    /// The new devices' name in lists
    #[arg(long)]
    pub label: Option<String>,
    /// Say what would be taken over, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Export {
    /// For which program: apps and most others read URIs
    #[arg(long, default_value = "uri")]
    pub format: ExportFormat,
    /// Write it to a file that its owner alone can read; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    pub output: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Uri,
    GoogleAuthenticator,
    #[value(name = "pam_oath")]
    PamOath,
}

impl From<ExportFormat> for message::ExportFormat {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Uri => Self::Uri,
            ExportFormat::GoogleAuthenticator => Self::GoogleAuthenticator,
            ExportFormat::PamOath => Self::PamOath,
        }
    }
}

impl Command {
    /// Whether it is about the record of whoever runs it, where `--user` names nobody else.
    pub fn is_about_own_record(&self) -> bool {
        !matches!(
            self,
            Self::Init
                | Self::Invite(_)
                | Self::Judge(_)
                | Self::Check
                | Self::Doctor
                | Self::Explain(_)
                | Self::Users
                | Self::Show(_)
                | Self::Bypass(_)
                | Self::Require(_)
                | Self::Import(
                    Import::PamOath { .. } | Import::GoogleAuthenticator { all: true, .. }
                )
        )
    }

    /// Whether only root can do it. The verifier decides that again; here it spares questions.
    pub fn is_roots(&self) -> bool {
        match self {
            Self::ShowKey(_)
            | Self::Unlock
            | Self::Reset
            | Self::Init
            | Self::Invite(_)
            | Self::Judge(_)
            | Self::Check
            | Self::Doctor
            | Self::Explain(_)
            | Self::Users
            | Self::Show(_)
            | Self::Bypass(_)
            | Self::Disable(_)
            | Self::Enable(_)
            | Self::Require(_)
            | Self::Import(_)
            | Self::Export(_) => true,
            Self::Add(add) => add.secret_file.is_some() || add.no_confirm,
            Self::Status
            | Self::Remove(_)
            | Self::Default(_)
            | Self::Codes(_)
            | Self::Token(_)
            | Self::Remembered
            | Self::Forget(_)
            | Self::Test(_) => false,
        }
    }
}

/// Why there is no command to run.
pub enum Stop {
    /// `--help` or `--version`: it has been shown.
    Shown,
    /// It is not a command.
    Wrong(Problem),
}

/// The name of a PAM service as libpam has it, in small letters. What is none, such as a path, would be a
/// service that no policy names, and where policy asks some only that is exempt.
fn service(text: &str) -> Result<String, &'static str> {
    if text.is_empty() || text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
        return Err("that is no name of a PAM service, such as sshd");
    }
    Ok(text.to_ascii_lowercase())
}

/// Reads the command line, the program's name first.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, Stop> {
    let cli = Cli::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is the reader's choice.
            let _ = error.print();
            Stop::Shown
        }
        _ => Stop::Wrong(problem(&error.render().to_string())),
    })?;
    fit(&cli).map_err(Stop::Wrong)?;
    Ok(cli)
}

/// What clap cannot say: which arguments go with which.
fn fit(cli: &Cli) -> Result<(), Problem> {
    match &cli.command {
        Some(Command::Add(Add { kind: Kind::Hotp, period: Some(_), .. })) => {
            Err(Problem::usage("--period is for totp", "a hotp device has --counter"))
        }
        Some(Command::Add(Add { kind: Kind::Totp, counter: Some(_), .. })) => {
            Err(Problem::usage("--counter is for hotp", "a totp device has --period"))
        }
        Some(Command::Add(add)) if add.kind == Kind::Email && !add.is_plain() => {
            Err(Problem::usage(
                "an e-mail device has nothing but a label and an address",
                "mfa-setup add email [--label LABEL]",
            ))
        }
        Some(Command::Codes(Codes { command: Some(CodesCommand::New { output: Some(file) }) }))
            if file.as_os_str() == "-" =>
        {
            Err(Problem::usage("--output is for a file", "without it the codes are shown"))
        }
        Some(Command::Init) if cli.global.user.is_some() => {
            Err(Problem::usage("init is for no user", "leave --user out"))
        }
        Some(Command::Check) if cli.global.user.is_some() => Err(Problem::usage(
            "check is for no user",
            "leave --user out, or see: mfa-setup explain NAME --service sshd",
        )),
        Some(Command::Doctor) if cli.global.user.is_some() => Err(Problem::usage(
            "doctor is for no user",
            "leave --user out, or see: mfa-setup explain NAME --service sshd",
        )),
        Some(Command::Invite(_)) if cli.global.user.is_some() => {
            Err(Problem::usage("invite takes the user without --user", "mfa-setup invite NAME"))
        }
        Some(Command::Explain(_)) if cli.global.user.is_some() => Err(Problem::usage(
            "explain takes the user without --user",
            "mfa-setup explain NAME --service sshd",
        )),
        Some(Command::Users) if cli.global.user.is_some() => Err(Problem::usage(
            "users is for no single user",
            "leave --user out, or see: mfa-setup show NAME",
        )),
        Some(Command::Show(_)) if cli.global.user.is_some() => {
            Err(Problem::usage("show takes the user without --user", "mfa-setup show NAME"))
        }
        Some(Command::Bypass(_)) if cli.global.user.is_some() => {
            Err(Problem::usage("bypass takes the user without --user", "mfa-setup bypass NAME"))
        }
        Some(Command::Require(_)) if cli.global.user.is_some() => {
            Err(Problem::usage("require takes the user without --user", "mfa-setup require NAME"))
        }
        Some(Command::Import(import)) if import.is_about_all() && cli.global.user.is_some() => {
            Err(Problem::usage("--all is for no single user", "leave --all or --user out"))
        }
        Some(Command::Judge(_)) if cli.global.user.is_none() => {
            Err(Problem::usage("judge needs --user", "say whose code it is: --user NAME"))
        }
        _ => Ok(()),
    }
}

/// Clap's words in this program's form: the first paragraph is the error, tips are hints.
fn problem(rendered: &str) -> Problem {
    let rendered = rendered.strip_prefix("error: ").unwrap_or(rendered);
    let said = rendered.split("\n\nUsage:").next().unwrap_or_default();
    let said = said.split("\n\nFor more information").next().unwrap_or_default();
    let mut paragraphs = said.split("\n\n").map(|paragraph| {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        words.join(" ")
    });
    let error = paragraphs.next().unwrap_or_default();
    let mut hint = String::new();
    for tip in paragraphs.filter(|tip| !tip.is_empty()) {
        hint.push_str(tip.strip_prefix("tip: ").unwrap_or(&tip));
        hint.push('\n');
    }
    hint.push_str("mfa-setup --help shows what may be said");
    Problem::usage(error, hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parsed(line: &str) -> Result<Cli, Stop> {
        parse(line.split(' ').map(OsString::from))
    }

    fn wrong(line: &str) -> Problem {
        match parsed(line) {
            Err(Stop::Wrong(problem)) => problem,
            Err(Stop::Shown) => panic!("{line}: shown"),
            Ok(cli) => panic!("{line}: {cli:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_interface_is_understood() {
        for line in [
            "mfa-setup",
            "mfa-setup add totp",
            "mfa-setup add totp --label x --algorithm sha256 --digits 8 --period 60 --qr q.png",
            "mfa-setup add hotp --counter 7 --secret-file - --no-confirm",
            "mfa-setup add --label x hotp",
            "mfa-setup status",
            "mfa-setup remove phone",
            "mfa-setup default phone",
            "mfa-setup codes",
            "mfa-setup codes new --output page.txt",
            "mfa-setup token new backup",
            "mfa-setup token new backup --expires 12h --from 10.0.0.0/8 --from ::1 --service sshd",
            "mfa-setup token list",
            "mfa-setup token revoke backup",
            "mfa-setup remembered --json",
            "mfa-setup forget 3",
            "mfa-setup forget --all",
            "mfa-setup test",
            "mfa-setup test phone --resync",
            "mfa-setup init --json",
            "mfa-setup invite bob",
            "mfa-setup invite --for 30m bob",
            "mfa-setup show-key phone",
            "mfa-setup unlock",
            "mfa-setup reset",
            "mfa-setup judge --user alice --service sshd --from 192.0.2.7",
            "mfa-setup check --config policy.toml --json",
            "mfa-setup doctor --json",
            "mfa-setup explain alice --service sshd --from 192.0.2.7",
            "mfa-setup explain alice --service login --tty tty1 --at 2026-12-01",
            "mfa-setup users --json",
            "mfa-setup show alice",
            "mfa-setup bypass alice",
            "mfa-setup bypass alice --for 30m --uses 2 --json",
            "mfa-setup bypass alice --revoke",
            "mfa-setup disable phone --user alice",
            "mfa-setup enable phone",
            "mfa-setup require alice",
            "mfa-setup require --off alice",
            "mfa-setup import google-authenticator --user alice",
            "mfa-setup import google-authenticator /var/lib/ga/alice --user alice --label phone",
            "mfa-setup import google-authenticator --all --dry-run --json",
            "mfa-setup import pam_oath",
            "mfa-setup import pam_oath /etc/liboath/users.oath --all --without-pin",
            "mfa-setup import pam_oath --user alice --dry-run",
            "mfa-setup export --user alice",
            "mfa-setup export --format pam_oath --output users.oath",
            "mfa-setup export --format google-authenticator --output -",
        ] {
            assert!(parsed(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn global_options_stand_before_or_after_the_command() {
        for line in [
            "mfa-setup --user u --json --yes codes new",
            "mfa-setup codes new --yes --user u --json",
        ] {
            let Ok(cli) = parsed(line) else { panic!("{line}") };
            assert!(cli.global.json && cli.global.yes);
            assert_eq!(cli.global.user, Some("u".into()));
        }
    }

    #[test]
    fn a_service_has_the_name_that_libpam_gives_it() {
        let Ok(cli) = parsed("mfa-setup explain alice --service SSHD") else { panic!() };
        let Some(Command::Explain(explain)) = cli.command else { panic!() };
        assert_eq!(explain.service, "sshd");
        let Ok(cli) = parsed("mfa-setup judge --user alice") else { panic!() };
        let Some(Command::Judge(judge)) = cli.command else { panic!() };
        assert_eq!(judge.service, JUDGE_SERVICE);
    }

    #[test]
    fn a_user_need_not_be_utf8() {
        use std::os::unix::ffi::OsStringExt;
        let name = OsString::from_vec(vec![b'a', 0xff]);
        let line = ["mfa-setup".into(), "--user".into(), name.clone(), "status".into()];
        let Ok(cli) = parse(line) else { panic!() };
        assert_eq!(cli.global.user, Some(name));
    }

    #[test]
    fn wrong_usage_is_one_error_with_hints() {
        let problem = wrong("mfa-setup stauts");
        assert_eq!(problem.exit, 2);
        assert_eq!(problem.error, "unrecognized subcommand 'stauts'");
        assert!(problem.hint.contains("similar subcommand exists: 'status'"), "{}", problem.hint);

        let problem = wrong("mfa-setup remove");
        assert_eq!(problem.error, "the following required arguments were not provided: <LABEL>");

        for line in [
            "mfa-setup add",
            "mfa-setup add sms",
            "mfa-setup add email --digits 8",
            "mfa-setup add email --qr a.png",
            "mfa-setup add email --no-confirm",
            "mfa-setup check --user alice",
            "mfa-setup codes new --output -",
            "mfa-setup doctor --user alice",
            "mfa-setup init --user alice",
            "mfa-setup users --user alice",
            "mfa-setup users alice",
            "mfa-setup show",
            "mfa-setup show alice --user alice",
            "mfa-setup add totp --digits 900",
            "mfa-setup add totp --algorithm md5",
            "mfa-setup add totp --counter 1",
            "mfa-setup add hotp --period 30",
            "mfa-setup judge",
            "mfa-setup test phone",
            "mfa-setup test --resync",
            "mfa-setup token",
            "mfa-setup token new",
            "mfa-setup token new x --expires never",
            "mfa-setup token revoke",
            "mfa-setup forget",
            "mfa-setup forget 3 --all",
            "mfa-setup forget phone",
            "mfa-setup invite",
            "mfa-setup invite bob --for ever",
            "mfa-setup invite bob --user bob",
            "mfa-setup bypass",
            "mfa-setup bypass bob --user bob",
            "mfa-setup bypass bob --for ever",
            "mfa-setup bypass bob --uses many",
            "mfa-setup bypass bob --uses -1",
            "mfa-setup bypass bob --revoke --uses 2",
            "mfa-setup bypass bob --revoke --for 1h",
            "mfa-setup disable",
            "mfa-setup enable",
            "mfa-setup require",
            "mfa-setup require bob --user bob",
            "mfa-setup status extra",
            "mfa-setup check policy.toml",
            "mfa-setup explain alice",
            "mfa-setup explain --service sshd",
            "mfa-setup explain alice --service /etc/pam.d/sshd",
            "mfa-setup judge --user alice --service ",
            "mfa-setup judge --user alice --service pam.d/sshd",
            "mfa-setup explain alice --service sshd --user alice",
            "mfa-setup import",
            "mfa-setup import duo",
            "mfa-setup import google-authenticator --all --user alice",
            "mfa-setup import google-authenticator file --all",
            "mfa-setup import google-authenticator --without-pin",
            "mfa-setup import pam_oath --all --user alice",
            "mfa-setup export --format yaml",
            "mfa-setup --colour",
        ] {
            let problem = wrong(line);
            assert_eq!(problem.exit, 2, "{line}");
            assert!(!problem.error.is_empty() && !problem.error.contains('\n'), "{problem:?}");
        }
    }
}
