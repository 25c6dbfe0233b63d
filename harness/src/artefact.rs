//! Artefacts: a failing run as a file that replays.
//!
//! An artefact is JSON with a version. A reader accepts its own version and refuses all others: before
//! 1.0 a plan's words may change. It holds the plan itself, not only the seed, so that it replays after the generators
//! have changed, and the recorded history, so that a replay that differs can say where.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::checker::Witness;
use crate::database::Engine;
use crate::history::{Digest, History};
use crate::plan::Plan;
use crate::simulation::{Recording, Run, RunError, run};
use crate::system::System;

/// The version that this code writes.
pub const VERSION: u32 = 2;
const FORMAT: &str = "stormglass artefact";

/// A failing run, as it is saved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artefact {
    /// Always `stormglass artefact`.
    pub format: String,
    /// The version of this format.
    pub version: u32,
    /// The version of the harness that wrote it.
    pub code_version: String,
    /// The system's name.
    pub system: String,
    /// `sqlite` or `postgres`.
    pub engine: Engine,
    /// The property that was broken.
    pub property: String,
    /// The proof.
    pub witness: Witness,
    /// The digest of the history.
    pub digest: String,
    /// What was to happen.
    pub plan: Plan,
    /// What happened, one line an event.
    pub history: Vec<String>,
}

/// Why an artefact could not be read or used.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// No such file, or not allowed.
    #[error("failed to read artefact {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("failed to write artefact {path}: {source}")]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Not JSON to the end.
    #[error("artefact {path} is damaged or truncated: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// JSON, but not an artefact.
    #[error("{0} is not a stormglass artefact")]
    Foreign(PathBuf),
    /// Written by a newer stormglass.
    #[error(
        "artefact {path} has version {version}, this stormglass reads up to {VERSION}: update it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's version.
        version: u64,
    },
    /// Written by an older stormglass, whose faults were other ones.
    #[error(
        "artefact {path} has version {version}, this stormglass reads {VERSION}: run its seed again"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// The file's version.
        version: u64,
    },
    /// Of another system.
    #[error("the artefact is of system `{artefact}`, not of `{system}`")]
    OtherSystem {
        /// The artefact's.
        artefact: String,
        /// The one at hand.
        system: String,
    },
    /// Recorded on another engine.
    #[error(
        "the artefact was recorded on {recorded}, this run is on {engine}: set STORMGLASS_DATABASE={recorded}"
    )]
    OtherEngine {
        /// The artefact's.
        recorded: &'static str,
        /// The one at hand.
        engine: &'static str,
    },
    /// The replay came to no result.
    #[error(transparent)]
    Run(#[from] RunError),
}

/// What a replay showed.
#[derive(Debug)]
pub enum Replay {
    /// The same history, event by event.
    Same(Box<Run>),
    /// Another history.
    Diverged(Divergence),
}

/// The first event in which two runs of one plan differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The event's index.
    pub index: usize,
    /// What the first run did, or `None` if it had ended.
    pub recorded: Option<String>,
    /// What the second run did, or `None` if it had ended.
    pub came: Option<String>,
    /// Whether no line differs, only the digests, which stand in the place of events then.
    pub only_digests: bool,
}

impl std::fmt::Display for Divergence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = "(the run had ended)";
        if self.only_digests {
            writeln!(
                f,
                "diverged in no line of {} events, but in the digest: somebody changed the file, or \
                 the difference is in\n  something that a line does not show",
                self.index
            )?;
        } else {
            writeln!(f, "diverged at event #{}", self.index)?;
        }
        writeln!(f, "  recorded  {}", self.recorded.as_deref().unwrap_or(end))?;
        writeln!(f, "  came      {}", self.came.as_deref().unwrap_or(end))?;
        write!(
            f,
            "  usual causes: the system's code has changed since; it reads the time or random \
             bytes past the\n  C library (rand 0.8 does), iterates over something ordered by address \
             (ahash is seeded by one),\n  keeps state in a static (Uuid::now_v7 does) or in what was made \
             outside of the host and is shared,\n  shows ids of threads, tasks or the process, starts \
             threads of its own, or lets SQL compute\n  CURRENT_TIMESTAMP or random()"
        )
    }
}

impl Divergence {
    /// Compares two histories, line by line.
    pub fn between(recorded: &[String], came: &[String]) -> Option<Self> {
        let length = recorded.len().max(came.len());
        let index = (0..length).find(|&index| recorded.get(index) != came.get(index))?;
        Some(Divergence {
            index,
            recorded: recorded.get(index).cloned(),
            came: came.get(index).cloned(),
            only_digests: false,
        })
    }

    /// Two histories of `events` equal lines that differ all the same.
    pub fn of_digests(events: usize, recorded: &str, came: &Digest) -> Self {
        Divergence {
            index: events,
            recorded: Some(format!("digest {recorded}")),
            came: Some(format!("digest {came}")),
            only_digests: true,
        }
    }
}

/// The text of a file. What is no regular file may never end.
fn read_file(path: &Path) -> std::io::Result<String> {
    match std::fs::metadata(path)?.is_file() {
        true => std::fs::read_to_string(path),
        false => Err(std::io::Error::other("not a regular file")),
    }
}

/// A history as lines, with everything that the digest covers that a line can show.
pub fn lines(history: &History) -> Vec<String> {
    history.events.iter().map(ToString::to_string).collect()
}

impl Artefact {
    /// The artefact of a run that broke `property`.
    pub fn of(system: &System, run: &Run, property: &str, witness: &Witness) -> Self {
        let engine = system.engine().unwrap_or_default();
        Artefact {
            format: FORMAT.to_owned(),
            version: VERSION,
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            system: system.name().to_owned(),
            engine,
            property: property.to_owned(),
            witness: witness.clone(),
            digest: run.digest().to_string(),
            plan: run.plan.clone(),
            history: lines(&run.history),
        }
    }

    /// Writes the artefact, and the folder around it if need be.
    ///
    /// # Errors
    ///
    /// [`ArtefactError::Unwritable`].
    pub fn write(&self, path: &Path) -> Result<(), ArtefactError> {
        let json = serde_json::to_string_pretty(self).expect("an artefact can be written as JSON");
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder
            .and_then(|()| std::fs::write(path, json + "\n"))
            .map_err(|source| ArtefactError::Unwritable {
                path: path.to_owned(),
                source,
            })
    }

    /// Reads an artefact.
    ///
    /// # Errors
    ///
    /// If it is unreadable, damaged, foreign or newer than this code.
    pub fn read(path: &Path) -> Result<Self, ArtefactError> {
        let path_buf = || path.to_owned();
        let text = read_file(path).map_err(|source| ArtefactError::Unreadable {
            path: path_buf(),
            source,
        })?;
        let damaged = |error: serde_json::Error| ArtefactError::Damaged {
            path: path_buf(),
            reason: error.to_string(),
        };
        let value: serde_json::Value = serde_json::from_str(&text).map_err(damaged)?;
        if value.get("format").and_then(|format| format.as_str()) != Some(FORMAT) {
            return Err(ArtefactError::Foreign(path_buf()));
        }
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version > u64::from(VERSION) => Err(ArtefactError::Newer {
                path: path_buf(),
                version,
            }),
            Some(version) if version < u64::from(VERSION) => Err(ArtefactError::Older {
                path: path_buf(),
                version,
            }),
            _ => serde_json::from_value(value).map_err(damaged),
        }
    }

    /// Runs the artefact's plan again and compares.
    ///
    /// # Errors
    ///
    /// If the artefact is of another system or engine, or the run comes to no result.
    pub fn replay(&self, system: &System) -> Result<Replay, ArtefactError> {
        self.fits(system)?;
        let run = run(system, &self.plan, Recording::On)?;
        if run.digest().to_string() == self.digest {
            return Ok(Replay::Same(Box::new(run)));
        }
        let came = lines(&run.history);
        let divergence = Divergence::between(&self.history, &came);
        let by_digest = || Divergence::of_digests(came.len(), &self.digest, &run.digest());
        Ok(Replay::Diverged(divergence.unwrap_or_else(by_digest)))
    }

    /// Whether the artefact can be replayed with this system on its engine.
    ///
    /// # Errors
    ///
    /// If it is of another system or engine, or its plan names what the system does not have.
    pub fn fits(&self, system: &System) -> Result<(), ArtefactError> {
        let engine = system.engine().map_err(RunError::from)?;
        if self.system != system.name() {
            return Err(ArtefactError::OtherSystem {
                artefact: self.system.clone(),
                system: system.name().to_owned(),
            });
        }
        if self.engine != engine {
            return Err(ArtefactError::OtherEngine {
                recorded: self.engine.name(),
                engine: engine.name(),
            });
        }
        Ok(system.fits(&self.plan).map_err(RunError::from)?)
    }
}
