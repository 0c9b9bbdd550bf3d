//! Writes what the corpus test makes of the repository (commands of the golden logs, the documented
//! configuration, snapshots of the present state version, recordings) into a folder, for cargo-fuzz to start from.
//!
//! `cargo run -p fuzz --bin seeds -- target/fuzz` makes a folder of each kind there.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use fuzz::seeds;

fn main() -> std::io::Result<ExitCode> {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        return Ok(ExitCode::from(2));
    };
    let all = [
        ("json", seeds::commands()),
        ("configuration", seeds::configurations()),
        ("snapshot", seeds::snapshots()),
        ("state", seeds::bodies()),
        ("recording", seeds::recordings()),
    ];
    for (decoder, seeds) in all {
        let folder = folder.join(decoder);
        fs::create_dir_all(&folder)?;
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:04}")), seed)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
