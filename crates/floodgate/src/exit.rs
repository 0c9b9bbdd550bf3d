//! Exit codes, the same for every command.

use std::process::ExitCode;

use crate::configuration::Wrong;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: everything went well, what was checked holds.
    Well,
    /// 1: what was checked does not hold.
    DoesNotHold,
}

/// `EX_CONFIG` of sysexits.h: the configuration has to be changed.
const CONFIGURATION: u8 = 78;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        match exit {
            Exit::Well => ExitCode::SUCCESS,
            Exit::DoesNotHold => ExitCode::from(1),
        }
    }
}

/// 78 for a configuration that does not fit, 1 for every other error.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    let configuration = error.chain().any(|cause| {
        let refused = cause.downcast_ref::<pipeline::worker::WorkerError>();
        cause.is::<Wrong>()
            || matches!(refused, Some(pipeline::worker::WorkerError::Configuration(_)))
    });
    if configuration { ExitCode::from(CONFIGURATION) } else { ExitCode::from(1) }
}
