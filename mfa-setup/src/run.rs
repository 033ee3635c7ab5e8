//! From a command to what does it.

use crate::cli::{Cli, Codes, CodesCommand, Command, Test, Token};
use crate::problem::Problem;
use crate::session::{Session, printed};
use mfa_protocol::message::Action;

/// Does what `cli` says and returns the exit code.
pub fn run(cli: &Cli) -> Result<u8, Problem> {
    let mut session = Session::begin(&cli.global, cli.command.as_ref())?;
    match &cli.command {
        None => session.guide(),
        Some(Command::Add(add)) => session.add_device(add),
        Some(Command::Status) => session.status(),
        Some(Command::Remove(remove)) => {
            let label = remove.label.clone();
            let question = format!("Remove device \"{}\"", printed(label.as_ref()));
            session.change(Some(&question), Action::Remove { label })
        }
        Some(Command::Default(default)) => {
            session.change(None, Action::MakeDefault { label: default.label.clone() })
        }
        Some(Command::Codes(Codes { command: None })) => session.codes(),
        Some(Command::Codes(Codes { command: Some(CodesCommand::New { output }) })) => {
            session.new_codes(output.as_deref())
        }
        Some(Command::Token(Token::New(new))) => session.new_token(new),
        Some(Command::Token(Token::List)) => session.tokens(),
        Some(Command::Token(Token::Revoke { name })) => {
            let question = format!("Revoke token \"{}\"", printed(name.as_ref()));
            session.change(Some(&question), Action::RevokeToken { name: name.clone() })
        }
        Some(Command::Remembered) => session.remembered(),
        Some(Command::Forget(forget)) => {
            session.change(None, Action::Forget { number: forget.number })
        }
        Some(Command::Test(Test { label: Some(label), .. })) => {
            session.change(None, Action::Resync { label: label.clone() })
        }
        Some(Command::Test(Test { label: None, .. })) => session.test(),
        Some(Command::Init) => session.initialise(),
        Some(Command::Invite(invite)) => session.invite(invite),
        Some(Command::ShowKey(key)) => session.show_key(&key.label),
        Some(Command::Unlock) => session.change(None, Action::Unlock),
        Some(Command::Reset) => {
            session.change(Some("Forget every device, code and token"), Action::Reset)
        }
        Some(Command::Judge(judge)) => session.judge(judge),
        Some(Command::Check) => session.check(),
        Some(Command::Doctor) => session.doctor(),
        Some(Command::Explain(explain)) => session.explain(explain),
        Some(Command::Users) => session.users(),
        Some(Command::Show(show)) => session.show(&show.name),
        Some(Command::Bypass(bypass)) => session.bypass(bypass),
        Some(Command::Disable(disable)) => session.disable(&disable.label),
        Some(Command::Enable(enable)) => {
            session.change(None, Action::Enable { label: enable.label.clone() })
        }
        Some(Command::Require(require)) => session.require(require),
        Some(Command::Import(import)) => session.import(import),
        Some(Command::Export(export)) => session.export(export),
    }
}
