//! The `floodgate` command.
//!
//! Only the choice of the command and the exit code; each command is in the file of its name.
#![forbid(unsafe_code)]

mod arguments;
mod ask;
mod audit;
mod board;
mod configuration;
mod connection;
mod demo;
#[cfg(test)]
mod deployment;
mod drill;
mod embedded;
mod environment;
mod exit;
mod fleet;
mod generate;
mod handover;
mod http;
mod logging;
mod metrics;
mod print;
mod security;
mod settle;
mod signals;
mod simulate;
mod snapshots;
mod stock;
mod tools;
mod topics;
mod totals;
mod validate;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Settle(arguments) => settle::run(&arguments),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Board(arguments) => board::run(&arguments),
        Command::Generate(arguments::Generate::Prometheus(arguments)) => {
            generate::prometheus(&arguments)
        }
        Command::Generate(arguments::Generate::Alerts(arguments)) => generate::alerts(&arguments),
        Command::Generate(arguments::Generate::Grafana(arguments)) => generate::grafana(&arguments),
        Command::Drill(arguments::Drill::Run(arguments)) => drill::run::run(&arguments),
        Command::Drill(arguments::Drill::Rehearse(arguments)) => drill::rehearse::run(&arguments),
        Command::Drill(arguments::Drill::Knee(arguments)) => drill::knee::run(&arguments),
        Command::Drill(arguments::Drill::Record(arguments)) => drill::record::run(&arguments),
        Command::Drill(arguments::Drill::Replay(arguments)) => drill::replay::run(&arguments),
        Command::Drill(arguments::Drill::Report(arguments)) => drill::report::run(&arguments),
        Command::Topics(arguments::Topics::Create(arguments)) => topics::create(&arguments),
        Command::Topics(arguments::Topics::Check(arguments)) => topics::check(&arguments),
        Command::Validate(arguments) => validate::run(&arguments),
        Command::Snapshot(arguments::Snapshot::List(arguments)) => snapshots::list(&arguments),
        Command::Snapshot(arguments::Snapshot::Adopt(arguments)) => snapshots::adopt(&arguments),
        Command::Stock(arguments::Stock::Get(arguments)) => stock::get(&arguments),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            print::complain(&error);
            exit::code_of(&error)
        }
    }
}
