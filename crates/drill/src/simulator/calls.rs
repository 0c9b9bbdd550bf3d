//! What becomes of each call on the log: asked by the embedded log before it does anything.
//!
//! Not what the worker makes of it. Invariant: a call of a dead process takes no effect, but for the
//! one in whose midst it died.

use std::sync::{Arc, OnceLock, Weak};

use pipeline::embedded::MemberId;
use pipeline::embedded::faults::{Call, Caller, Faults, Verdict};
use pipeline::log::LogError;

use super::fault::Fault;
use super::stage::{Stage, Standing, Transaction};
use super::trace::{CallName, Ending, Event};

/// Calls in the midst of others' turns, and theirs in the midst of yet others'.
const DEPTH_MAX: u32 = 2;
/// Longest a call takes that is merely slow.
const SLOW_MS_MAX: u64 = 80;

/// Asks the stage, once there is one.
#[derive(Clone, Default)]
pub(super) struct Hook(Arc<OnceLock<Weak<Stage>>>);

impl Hook {
    pub(super) fn hang_on(&self, stage: &Arc<Stage>) {
        let is_first = self.0.set(Arc::downgrade(stage)).is_ok();
        assert!(is_first, "a world has one stage");
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Hook")
    }
}

impl Faults for Hook {
    fn verdict(&self, caller: Caller<'_>, call: Call<'_>) -> Verdict {
        let Some(stage) = self.0.get().and_then(Weak::upgrade) else { return Verdict::Pass };
        match caller {
            // Whoever is no process of this world makes its calls undisturbed.
            Caller::Member(member) if !stage.is_alive(member.0) => Verdict::Pass,
            Caller::Member(member) => stage.on_call(member.0, CallName::of(call), true),
            Caller::Offsets { .. } => {
                let who = stage.state().at_work.last().copied();
                who.map_or(Verdict::Pass, |who| stage.on_call(who, CallName::of(call), false))
            }
        }
    }
}

impl Stage {
    fn on_call(self: &Arc<Self>, who: u64, call: CallName, is_member: bool) -> Verdict {
        self.let_others_go_first(if call == CallName::EndTransaction { 40 } else { 1 });
        if !self.is_alive(who) {
            return Verdict::FailBefore(died());
        }
        let favour = call.favour().max(self.favour_of(who));
        let fault = self.draw_fault(call.faults(is_member), favour);
        let verdict = fault.map_or(Verdict::Pass, |fault| self.verdict_by(fault, who, call));
        let ending = match &verdict {
            Verdict::Pass => Ending::Passed,
            Verdict::FailBefore(_) => Ending::Lost,
            Verdict::ApplyThenFail(_) => Ending::Unanswered,
            Verdict::ApplyLate(_) => Ending::Late,
            Verdict::ApplyTwice(_) => Ending::Doubled,
        };
        self.note(who, Event::Called { call, ending });
        if ending != Ending::Lost {
            self.stand(who, |standing| standing.has_called(call));
        }
        verdict
    }

    /// Carries out what is a fault of the surroundings, and says what becomes of the call.
    fn verdict_by(self: &Arc<Self>, fault: Fault, who: u64, call: CallName) -> Verdict {
        match fault {
            Fault::Crash => return self.crash_in(who, call),
            Fault::AnswerLost | Fault::RequestLate | Fault::RequestDoubled => {
                self.stand(who, |standing| standing.has_called(call));
            }
            _ => {}
        }
        self.strike(who, fault);
        let no_answer = || LogError::Retry("no answer in time".to_owned());
        match fault {
            Fault::Zombie => {
                self.pause_in_call();
                if !self.is_alive(who) {
                    return Verdict::FailBefore(died());
                }
            }
            Fault::SessionLost => self.broker.expire_session(MemberId(who)),
            Fault::Fence => self.fence(who),
            Fault::RequestLost => return Verdict::FailBefore(no_answer()),
            Fault::AnswerLost => return Verdict::ApplyThenFail(no_answer()),
            Fault::RequestLate => return Verdict::ApplyLate(no_answer()),
            Fault::RequestDoubled => {
                return Verdict::ApplyTwice("the connection was lost".to_owned());
            }
            Fault::TransactionBroken => {
                return Verdict::FailBefore(LogError::Transaction("it broke".to_owned()));
            }
            _ => {}
        }
        Verdict::Pass
    }

    /// The process dies before its request is sent, after it took effect, or while it is under way.
    fn crash_in(&self, who: u64, call: CallName) -> Verdict {
        let way = self.below(3);
        if way > 0 {
            self.stand(who, |standing| standing.has_called(call));
        }
        self.crash(who);
        match way {
            0 => Verdict::FailBefore(died()),
            1 => Verdict::ApplyThenFail(died()),
            _ => Verdict::ApplyLate(died()),
        }
    }

    /// Some calls and jobs take so long that others have their turns meanwhile.
    pub(super) fn let_others_go_first(self: &Arc<Self>, favour: u64) {
        let ms = {
            let mut state = self.state();
            let is_slow = state.depth < DEPTH_MAX && state.happens(self.plan.slow_odds * favour);
            if is_slow { state.chance.between(1, SLOW_MS_MAX) } else { 0 }
        };
        if ms > 0 {
            self.let_others_go_on(ms);
        }
    }

    /// A call on the store in the midst of others' calls is struck more often.
    pub(super) fn favour_of_depth(&self) -> u64 {
        1 + 5 * u64::from(self.state().depth)
    }

    /// Whoever is in the midst of something that is over soon is struck more often.
    pub(super) fn favour_of(&self, who: u64) -> u64 {
        self.state().standings.get(&who).map_or(1, Standing::favour)
    }

    /// Longer than the session lasts, or, too deep in others' calls, not at all.
    fn pause_in_call(self: &Arc<Self>) {
        if self.state().depth < DEPTH_MAX {
            let ms = self.plan.session_timeout_ms + self.between(1, 1_500);
            self.let_others_go_on(ms);
        }
    }
}

impl Standing {
    /// How much more often faults come to a process that is in the midst of something brief.
    pub(super) fn favour(&self) -> u64 {
        let is_brief = self.opening > 0
            || !self.replaying.is_empty()
            || !self.revoking.is_empty()
            || self.transaction == Transaction::Ending;
        if is_brief { 3 } else { 1 }
    }

    /// A call took effect, or may take it.
    fn has_called(&mut self, call: CallName) {
        match call {
            CallName::Begin => self.transaction = Transaction::Open,
            CallName::SendOffsets => self.transaction = Transaction::OffsetsSent,
            CallName::EndTransaction | CallName::AbortTransaction => {
                self.transaction = Transaction::Ending;
            }
            _ => {}
        }
    }
}

impl CallName {
    fn of(call: Call<'_>) -> CallName {
        match call {
            Call::Poll => CallName::Poll,
            Call::Start(_) => CallName::Start,
            Call::Stop(_) => CallName::Stop,
            Call::Release(_) => CallName::Release,
            Call::Join => CallName::Join,
            Call::Leave => CallName::Leave,
            Call::InitProducer => CallName::InitProducer,
            Call::Begin => CallName::Begin,
            Call::Produce { .. } => CallName::Produce,
            Call::SendOffsets => CallName::SendOffsets,
            Call::EndTransaction => CallName::EndTransaction,
            Call::AbortTransaction => CallName::AbortTransaction,
            Call::AppendTick(_) => CallName::AppendTick,
            Call::Committed(_) => CallName::Committed,
            Call::InputBounds(_) => CallName::InputBounds,
            Call::OutputsAreEmpty(_) => CallName::OutputsAreEmpty,
            Call::PartitionCount => CallName::PartitionCount,
            Call::ClusterId => CallName::ClusterId,
        }
    }

    /// What can go wrong in it.
    fn faults(self, is_member: bool) -> &'static [Fault] {
        use Fault::{
            AnswerLost, Crash, Fence, RequestDoubled, RequestLate, RequestLost, SessionLost,
            TransactionBroken, Zombie,
        };
        match self {
            CallName::InitProducer => &[
                Crash,
                Zombie,
                SessionLost,
                Fence,
                RequestLost,
                AnswerLost,
                RequestLate,
                RequestDoubled,
            ],
            CallName::Begin | CallName::Produce => {
                &[Crash, Zombie, SessionLost, Fence, RequestLost, AnswerLost, TransactionBroken]
            }
            CallName::SendOffsets | CallName::EndTransaction | CallName::AbortTransaction => &[
                Crash,
                Zombie,
                SessionLost,
                Fence,
                RequestLost,
                AnswerLost,
                RequestLate,
                RequestDoubled,
                TransactionBroken,
            ],
            _ if is_member => &[Crash, Zombie, SessionLost, Fence, RequestLost, AnswerLost],
            // An opener sends no requests that could be late, and is no member.
            _ => &[Crash, RequestLost, AnswerLost],
        }
    }

    /// To some calls faults come more often: a commit is short, and everything depends on it.
    fn favour(self) -> u64 {
        match self {
            CallName::SendOffsets | CallName::EndTransaction | CallName::AbortTransaction => 6,
            // What follows from a failed one takes several others to show.
            CallName::Start | CallName::Stop => 30,
            _ => 1,
        }
    }
}

fn died() -> LogError {
    LogError::Fatal("the process has died".to_owned())
}
