//! Slots: how the simulation tells a process of the real server the time, and learns that it waits.
//!
//! `preload/backend.rs` is the other end, and says what each field does.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// How many bytes a slot has.
const LENGTH: u64 = 64;
/// How many slots there are: process numbers of Linux are smaller.
const COUNT: u64 = 1 << 22;

/// A moment after all those of any run, in microseconds since 1970: the beginning of the year 2200.
pub(crate) const NEVER: i64 = 7_258_118_400_000_000;

const GATE: u64 = 4;
const NOW: u64 = 8;
const ALARM: u64 = 40;

/// The file of all slots of one server; most of it is never written and takes no room.
#[derive(Clone, Debug)]
pub(crate) struct Slots(Arc<File>);

/// The slot of one process.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Slots,
    at: u64,
    is_open: bool,
}

/// Whether a process waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waits {
    /// How often it has begun to wait.
    pub(crate) count: u32,
    /// Whether it waits now, and not until a moment.
    pub(crate) is_waiting: bool,
    /// Whether it sleeps between two looks at what nobody tells it of.
    pub(crate) is_napping: bool,
    /// The moment until which it waits, in microseconds since 1970.
    pub(crate) wakes_at: Option<i64>,
    /// The moment at which its alarm rings, if it ever does.
    pub(crate) alarm_at: Option<i64>,
}

impl Slots {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(COUNT * LENGTH)?;
        Ok(Slots(Arc::new(file)))
    }

    /// The slot of the process `id`, which belongs to a simulation from now on; its random bytes follow from
    /// `seed`.
    pub(crate) fn arm(&self, id: u32, seed: u64, now: i64) -> io::Result<Slot> {
        let at = u64::from(id) % COUNT * LENGTH;
        let mut bytes = [0; LENGTH as usize];
        bytes[8..16].copy_from_slice(&now.to_ne_bytes());
        bytes[16..24].copy_from_slice(&seed.to_ne_bytes());
        self.0.write_all_at(&bytes, at)?;
        // The last thing that is written, because the process may be looking.
        self.0.write_all_at(&1_u32.to_ne_bytes(), at)?;
        let slots = self.clone();
        Ok(Slot {
            slots,
            at,
            is_open: true,
        })
    }
}

impl Slot {
    pub(crate) fn set_now(&self, now: i64) -> io::Result<()> {
        self.slots.0.write_all_at(&now.to_ne_bytes(), self.at + NOW)
    }

    /// Lets the process go on when what it waits for has come, or not.
    pub(crate) fn set_open(&mut self, is_open: bool) -> io::Result<()> {
        if is_open == std::mem::replace(&mut self.is_open, is_open) {
            return Ok(());
        }
        let gate = u32::from(!is_open).to_ne_bytes();
        self.slots.0.write_all_at(&gate, self.at + GATE)
    }

    /// The alarm rings, and not again by itself.
    pub(crate) fn clear_alarm(&self) -> io::Result<()> {
        self.slots.0.write_all_at(&[0; 8], self.at + ALARM)
    }

    pub(crate) fn waits(&self) -> io::Result<Waits> {
        let mut bytes = [0; LENGTH as usize];
        self.slots.0.read_exact_at(&mut bytes, self.at)?;
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
            word.map_or(0, u32::from_ne_bytes)
        };
        let moment = |at: usize| {
            let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
            word.map_or(0, i64::from_ne_bytes)
        };
        Ok(Waits {
            count: word(32),
            is_waiting: word(36) == 1,
            is_napping: word(36) == 3,
            wakes_at: (word(36) == 2).then(|| moment(48)),
            alarm_at: Some(moment(40)).filter(|at| (1..NEVER).contains(at)),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // The number will be another process', which nobody has armed.
        let _ = self.slots.0.write_all_at(&[0; LENGTH as usize], self.at);
    }
}
