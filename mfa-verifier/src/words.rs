//! The words of a login: what is asked, and what the person learns beside the outcome.

use mfa_protocol::message::LoginRequest;
use mfa_protocol::{Conversation, Prompt, Style};

use crate::alterations::tell;
use crate::config::RequiredFrom;
use crate::decision::Decision;
use crate::judge::{Accepted, Refusal};
use crate::policy::Exemption;
use crate::reason::Reason;
use crate::record::{Alteration, UserRecord};
use crate::world::World;

/// What somebody is told whose code was accepted before.
const ALREADY_USED: &str = "This code was already used; wait for the next one.";

/// What somebody is told whose device was used before the clock was set back.
const USED_AHEAD: &str =
    "This device was last used at a time that has not come yet; use a backup code.";

/// What somebody is told, whoever it is, whose answer has other characters than codes have. A keyboard that
/// writes another script can show digits that look right; see RFC 4226 (5.3) for what a code is.
pub(crate) const OTHER_CHARACTERS: &str = "Codes are of 0-9, a-z, spaces and dashes; this answer has other characters.\n\
     If they look right, switch the keyboard to plain (half-width) digits.";

/// What somebody is told who looks at backup codes that are another module's.
pub(crate) const SCRATCH_CODES: &str = "The backup codes are the scratch codes that came along from google-authenticator, of eight digits.\n\
     New ones are stronger: mfa-setup codes new";

/// The question for a code.
pub(crate) fn prompt(world: &World, request: &LoginRequest) -> Prompt {
    let text = request.prompt.as_deref().unwrap_or(&world.config.login.prompt);
    if request.echo || world.config.login.echo {
        Prompt::visible(text)
    } else {
        Prompt::hidden(text)
    }
}

/// What everybody is told before the question, where codes are sent by mail.
pub(crate) fn offer(world: &World) -> &'static str {
    let policy = &world.config.policy;
    if policy.verify_new_address {
        "From an address at which you were not seen before, a code that is sent by e-mail is needed.\n\
         Press Enter alone to have one sent, or type ? for the ways to give a code."
    } else {
        "If codes are sent to you by e-mail, press Enter alone to have one sent;\n\
         type ? for other ways to give a code."
    }
}

/// What everybody is told who asks for a code by mail, whether there is one to be sent or not.
pub(crate) fn on_its_way(world: &World) -> String {
    let minutes = match world.config.email.code_lifetime {
        1 => "a minute".to_owned(),
        minutes => format!("{minutes} minutes"),
    };
    format!(
        "If codes are sent to you by e-mail, one is on its way. It is good for {minutes}, and no\n\
         other that was sent before is. If none comes, too many were sent, or mail fails:\n\
         type ? for other ways to give a code."
    )
}

/// What somebody learns whose code was judged.
pub(crate) fn advise(world: &World, decision: &Decision, conversation: &mut dyn Conversation) {
    if let Decision::Granted { news, .. } = decision {
        inform(news, conversation);
    }
    match decision {
        Decision::Refused { refusal: Refusal::Used { .. }, .. } => {
            conversation.tell(Style::Error, ALREADY_USED);
        }
        Decision::Refused { refusal: Refusal::UsedAhead { .. }, .. } => {
            conversation.tell(Style::Error, USED_AHEAD);
        }
        Decision::NoCode(Reason::NotAscii) => conversation.tell(Style::Error, OTHER_CHARACTERS),
        // Nobody reads what a script is told.
        Decision::Granted { accepted: Accepted::Token { .. }, .. } => {}
        Decision::Granted { codes_left: Some(codes_left), .. }
            if *codes_left <= usize::from(world.config.backup_codes.low) =>
        {
            let text = match codes_left {
                0 => "No backup codes are left; make new ones with: mfa-setup codes new".to_owned(),
                1 => "1 backup code is left; make new ones with: mfa-setup codes new".to_owned(),
                n => format!("{n} backup codes are left; make new ones with: mfa-setup codes new"),
            };
            conversation.tell(Style::Info, &text);
        }
        _ => {}
    }
}

/// What somebody learns who is let in without a code for want of a device.
pub(crate) fn announce(
    world: &World,
    exemption: Exemption,
    own: &UserRecord,
    conversation: &mut dyn Conversation,
) {
    match exemption {
        Exemption::NotEnrolled => inform(&own.news((world.now)()), conversation),
        Exemption::NotRequiredYet { days } => {
            inform(&own.news((world.now)()), conversation);
            let from = &world.config.policy.required_from;
            conversation.tell(Style::Info, &grace(from, days));
        }
        _ => {}
    }
}

/// Until when nothing is asked, and what to do until then.
#[must_use]
pub(crate) fn grace(from: &RequiredFrom, days: u32) -> String {
    let left = if days == 1 { "1 day is".to_owned() } else { format!("{days} days are") };
    format!(
        "From {} on nobody gets in here without a second factor; {left} left. Enrol with: mfa-setup",
        from.written()
    )
}

/// What was altered since the last login.
pub(crate) fn inform(news: &[Alteration], conversation: &mut dyn Conversation) {
    if let Some(text) = tell(news) {
        conversation.tell(Style::Info, &text);
    }
}

/// The same words for everybody who is refused.
pub(crate) fn refuse(world: &World, conversation: &mut dyn Conversation) {
    if !world.config.policy.help.is_empty() {
        conversation.tell(Style::Error, &world.config.policy.help);
    }
}
