//! Somebody who has to give a code and has nothing to give one of: a first device is enrolled at the
//! login itself, where policy says so.

use mfa_protocol::message::{
    Added, DeviceKind, Failure, FailureKind, LoginRequest, NewDevice, Terminal,
};
use mfa_protocol::{Conversation, ConversationError, Prompt, PromptKind, Style};

use crate::config::EnrolAtLogin;
use crate::decision::Decision;
use crate::enrol;
use crate::notices;
use crate::policy::Situation;
use crate::reason::Reason;
use crate::record::UserRecord;
use crate::self_service::authorise_newcomer;
use crate::situation::is_vouched_for;
use crate::store::{Owner, Store};
use crate::words::inform;
use crate::world::World;

/// PAM does not say what is at the other end. Half blocks are drawn first, dark on a light ground: who
/// sees other things there asks for another picture.
const TERMINAL: Terminal = Terminal { columns: 80, utf8: true };

/// What everybody is told whose invitation code is none.
const WRONG_INVITATION: &str = "the invitation code is not right";

/// Who is to enrol.
pub(crate) struct Newcomer<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) owner: &'a Owner,
    /// Their record, in which there is no device.
    pub(crate) record: &'a UserRecord,
    pub(crate) how: EnrolAtLogin,
}

impl Newcomer<'_> {
    /// Leads the enrolment, and decides the login by it. `None`: nobody has shown to be the owner, and is
    /// to be asked for a code like everybody else.
    ///
    /// It begins with a question that is answered by yes or no, so that what came along with a
    /// password, or a client that gives one answer to every question, sets nothing off.
    pub(crate) fn enrol(
        &self,
        world: &World,
        request: &LoginRequest,
        situation: &Situation,
        conversation: &mut dyn Conversation,
    ) -> Result<Option<Decision>, ConversationError> {
        if !self.is_the_owner(world, request, conversation)? {
            return Ok(None);
        }
        inform(&self.record.news(situation.now), conversation);
        conversation.tell(
            Style::Info,
            "Nobody gets in here without a second factor,\nand you have enrolled none yet.",
        );
        let question = Prompt::yes_no("Enrol an authenticator app now? [y/N] ");
        if !conversation.ask(&question)?.is_yes() {
            return Ok(Some(Decision::NoCode(Reason::Declined)));
        }
        Ok(Some(self.lead(world, situation, conversation)))
    }

    /// Shown by an invitation, for which is asked later; by what sshd has seen; or by the password,
    /// which is judged once more. Many stacks go on after a wrong one, to refuse in the end: a device
    /// that was enrolled meanwhile would stay.
    fn is_the_owner(
        &self,
        world: &World,
        request: &LoginRequest,
        conversation: &mut dyn Conversation,
    ) -> Result<bool, ConversationError> {
        if self.how == EnrolAtLogin::Invite || is_vouched_for(request) {
            return Ok(true);
        }
        // A face that is older has nobody who judges it.
        if PromptKind::FirstFactor.since() > world.face_version {
            return Ok(false);
        }
        let question = Prompt::first_factor(self.owner.name.as_str());
        Ok(conversation.ask(&question)?.is_yes())
    }

    fn lead(
        &self,
        world: &World,
        situation: &Situation,
        conversation: &mut dyn Conversation,
    ) -> Decision {
        let Self { store, owner, record, how } = *self;
        let source = situation.source;
        let authority =
            match authorise_newcomer(world, store, owner, record, how, source, conversation) {
                Ok(authority) => authority,
                // The same words whether there is an invitation or not; the log knows more.
                Err(failure) => return not_enrolled(failure, WRONG_INVITATION, conversation),
            };
        let app = NewDevice {
            kind: DeviceKind::Totp,
            label: Some(enrol::free_label(record, DeviceKind::Totp)),
            algorithm: None,
            digits: None,
            period: None,
            counter: None,
            secret: None,
            confirm: true,
            guided: true,
            show: true,
            terminal: TERMINAL,
        };
        let enrolled = enrol::prepare(world, record, &app).and_then(|prepared| {
            enrol::add(world, owner, prepared.at_login(source), &authority, conversation)
        });
        match enrolled {
            Ok(Added { kind, label, .. }) => {
                notices::send_of_login(world, owner, record, situation, &label);
                conversation.tell(Style::Info, "Enrolled. From now on a code of it is asked for.");
                Decision::Enrolled { kind, label }
            }
            Err(failure) => {
                let told = failure.error.clone();
                not_enrolled(failure, &told, conversation)
            }
        }
    }
}

/// The decision where nothing came of it, which the person is `told` unless it is the host's fault.
fn not_enrolled(failure: Failure, told: &str, conversation: &mut dyn Conversation) -> Decision {
    let unusable = failure.kind == FailureKind::Unusable;
    let why = if unusable { "this host cannot keep it now" } else { told };
    conversation.tell(Style::Error, &format!("Nothing was enrolled: {why}."));
    if unusable { Decision::Unavailable(failure.error) } else { Decision::NotEnrolled(failure) }
}
