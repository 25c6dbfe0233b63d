//! What is loaded into the processes of a private PostgreSQL server: the functions of the C library through
//! which a backend learns the time, draws random bytes, sets its alarm and waits.
//!
//! `build.rs` compiles this file to a shared object of its own, which the server is started with
//! (`LD_PRELOAD`). Each process has a slot in a file that it shares with the simulation, found by its process
//! number. As long as the slot is not armed every function does what the original does (but for random bytes,
//! which are the same each time), so that the server's own workers, and a backend that is just starting,
//! notice nothing. In an armed slot
//!
//! - the clock shows what the slot says, and stands still,
//! - random bytes are a stream that the slot's seed begins,
//! - an alarm is noted and never rings by itself: the simulation sends the signal when virtual time has come,
//! - a wait says that it waits and until when, never ends by the real clock, and goes on only when the gate
//!   is open, so that of several backends that get their locks at once one works at a time,
//! - a nap, between two looks at what nobody would tell it of, says so and lasts as long as it does.
//!
//! Not covered: a server that reads `/dev/urandom` itself, because it was built without OpenSSL.

#![no_std]

use core::ffi::{c_char, c_int, c_long, c_uint, c_void};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering::SeqCst};

/// How many slots the file has: process numbers of Linux are smaller.
const SLOTS: usize = 1 << 22;

/// One process; `slot.rs` of the package writes and reads the same fields, at the same places.
#[repr(C)]
struct Slot {
    /// Whether the process belongs to a simulation.
    armed: AtomicU32,
    /// Whether it has to stay where it waits.
    gate: AtomicU32,
    /// Microseconds since 1970.
    now: AtomicI64,
    /// Where its random bytes begin, and how many words were drawn.
    seed: AtomicU64,
    drawn: AtomicU64,
    /// How often it has begun to wait.
    waits: AtomicU32,
    /// 0 while it works, 1 while it waits, 2 while it waits until `wake_at`, 3 while it naps.
    waiting: AtomicU32,
    /// When its alarm would ring, in microseconds since 1970; 0 for never.
    alarm_at: AtomicI64,
    /// When its wait would end.
    wake_at: AtomicI64,
    /// Makes it one cache line.
    _rest: u64,
}

#[repr(C)]
pub struct Timeval {
    seconds: c_long,
    micros: c_long,
}

#[repr(C)]
pub struct Timespec {
    seconds: c_long,
    nanos: c_long,
}

#[repr(C)]
pub struct Itimerval {
    interval: Timeval,
    value: Timeval,
}

const NO_TIME: Timeval = Timeval {
    seconds: 0,
    micros: 0,
};
const NO_ALARM: Itimerval = Itimerval {
    interval: NO_TIME,
    value: NO_TIME,
};

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn close(descriptor: c_int) -> c_int;
    fn mmap(
        at: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        descriptor: c_int,
        offset: c_long,
    ) -> *mut c_void;
    fn getpid() -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
}

#[cfg(target_arch = "x86_64")]
mod number {
    use core::ffi::c_long;
    pub const PSELECT: c_long = 270;
    pub const NANOSLEEP: c_long = 35;
    pub const SETITIMER: c_long = 38;
    pub const CLOCK_GETTIME: c_long = 228;
    pub const EPOLL_PWAIT: c_long = 281;
    pub const GETRANDOM: c_long = 318;
}

#[cfg(target_arch = "aarch64")]
mod number {
    use core::ffi::c_long;
    pub const PSELECT: c_long = 72;
    pub const NANOSLEEP: c_long = 101;
    pub const SETITIMER: c_long = 103;
    pub const CLOCK_GETTIME: c_long = 113;
    pub const EPOLL_PWAIT: c_long = 22;
    pub const GETRANDOM: c_long = 278;
}

const REALTIME: c_int = 0;
const O_RDWR: c_int = 2;
const O_CLOEXEC: c_int = 0o2_000_000;
const READ_WRITE: c_int = 3;
const MAP_SHARED: c_int = 1;
const FAILED: *mut c_void = usize::MAX as *mut c_void;

static TABLE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The table of slots; null where there is none.
fn table() -> *mut Slot {
    let known = TABLE.load(SeqCst);
    if !known.is_null() {
        return if known == FAILED {
            null_mut()
        } else {
            known.cast()
        };
    }
    // SAFETY: constant strings that end in a null byte; the file is as long as the mapping, or a page that is
    // beyond it is never touched, because `slot` asks for process numbers only.
    let found = unsafe {
        let path = getenv(c"STORMGLASS_SLOTS".as_ptr());
        let file = if path.is_null() {
            -1
        } else {
            open(path, O_RDWR | O_CLOEXEC)
        };
        if file < 0 {
            FAILED
        } else {
            let found = mmap(
                null_mut(),
                SLOTS * size_of::<Slot>(),
                READ_WRITE,
                MAP_SHARED,
                file,
                0,
            );
            close(file);
            found
        }
    };
    TABLE.store(found, SeqCst);
    if found == FAILED {
        null_mut()
    } else {
        found.cast()
    }
}

/// The slot of this process, if it is armed.
fn slot() -> Option<&'static Slot> {
    let table = table();
    if table.is_null() {
        return None;
    }
    // SAFETY: the table is as long as there are process numbers, and its mapping is never taken away.
    let slot = unsafe { &*table.add(getpid() as usize % SLOTS) };
    (slot.armed.load(SeqCst) != 0).then_some(slot)
}

fn real_clock(clock: c_int, time: *mut Timespec) -> c_int {
    // SAFETY: the caller's own pointer.
    unsafe { syscall(number::CLOCK_GETTIME, clock as c_long, time) as c_int }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(time: *mut Timeval, _zone: *mut c_void) -> c_int {
    let mut now = Timespec {
        seconds: 0,
        nanos: 0,
    };
    unsafe { clock_gettime(REALTIME, &mut now) };
    unsafe {
        *time = Timeval {
            seconds: now.seconds,
            micros: now.nanos / 1000,
        }
    };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, time: *mut Timespec) -> c_int {
    let Some(slot) = slot() else {
        return real_clock(clock, time);
    };
    let now = slot.now.load(SeqCst);
    unsafe {
        *time = Timespec {
            seconds: now / 1_000_000,
            nanos: now % 1_000_000 * 1000,
        }
    };
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(at: *mut c_long) -> c_long {
    let mut now = Timespec {
        seconds: 0,
        nanos: 0,
    };
    unsafe { clock_gettime(REALTIME, &mut now) };
    if !at.is_null() {
        unsafe { *at = now.seconds };
    }
    now.seconds
}

/// One word of a stream (SplitMix64, of Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators").
fn word(seed: u64, number: u64) -> u64 {
    let mut word = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(bytes: *mut u8, length: usize, flags: c_uint) -> isize {
    if table().is_null() {
        return unsafe { syscall(number::GETRANDOM, bytes, length, flags as c_long) as isize };
    }
    let slot = slot();
    // What a backend draws before it is armed seeds the samples that `ANALYZE` takes.
    let mut unarmed = 0;
    let mut done = 0;
    while done < length {
        let word = match slot {
            Some(slot) => word(slot.seed.load(SeqCst), slot.drawn.fetch_add(1, SeqCst)),
            None => {
                unarmed += 1;
                word(0, unarmed)
            }
        };
        for byte in word.to_le_bytes() {
            if done < length {
                unsafe { *bytes.add(done) = byte };
                done += 1;
            }
        }
    }
    length as isize
}

/// OpenSSL's: how PostgreSQL draws what has to be unpredictable, and seeds `random()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn RAND_bytes(bytes: *mut u8, length: c_int) -> c_int {
    let mut done = 0;
    let length = length as usize;
    while done < length {
        let more = unsafe { getrandom(bytes.add(done), length - done, 0) };
        if more <= 0 {
            return 0;
        }
        done += more as usize;
    }
    1
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn setitimer(
    which: c_int,
    new: *const Itimerval,
    old: *mut Itimerval,
) -> c_int {
    // SAFETY: the caller's own pointers, or a value that outlives the call.
    let really_set = |new: *const Itimerval, old: *mut Itimerval| unsafe {
        syscall(number::SETITIMER, which as c_long, new, old) as c_int
    };
    let Some(slot) = slot() else {
        return really_set(new, old);
    };
    // The alarm for a client that takes too long to log in was set before the slot was armed.
    really_set(&NO_ALARM, null_mut());
    let value = unsafe { &(*new).value };
    let left = value.seconds * 1_000_000 + value.micros;
    let at = if left == 0 {
        0
    } else {
        slot.now.load(SeqCst) + left
    };
    slot.alarm_at.store(at, SeqCst);
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn epoll_wait(
    set: c_int,
    events: *mut c_void,
    most: c_int,
    timeout: c_int,
) -> c_int {
    // SAFETY: the caller's own arguments; no signal mask is given.
    let wait = |timeout: c_int| unsafe {
        let no_mask = null_mut::<c_void>();
        syscall(
            number::EPOLL_PWAIT,
            set as c_long,
            events,
            most as c_long,
            timeout as c_long,
            no_mask,
            8 as c_long,
        ) as c_int
    };
    let Some(slot) = slot() else {
        return wait(timeout);
    };
    if timeout == 0 {
        return wait(0);
    }
    if timeout > 0 {
        slot.wake_at
            .store(slot.now.load(SeqCst) + timeout as i64 * 1000, SeqCst);
    }
    slot.waiting.store(if timeout > 0 { 2 } else { 1 }, SeqCst);
    slot.waits.fetch_add(1, SeqCst);
    let found = wait(-1);
    while slot.gate.load(SeqCst) != 0 && slot.armed.load(SeqCst) != 0 {
        let pause = Timespec {
            seconds: 0,
            nanos: 20_000,
        };
        unsafe { syscall(number::NANOSLEEP, &pause, null_mut::<c_void>()) };
    }
    slot.waiting.store(0, SeqCst);
    // A pause can only be interrupted, so that it leaves `errno` as an interrupted wait has set it.
    found
}

/// How PostgreSQL naps (`pg_usleep`): a wait for no descriptor at all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn select(
    count: c_int,
    readable: *mut c_void,
    writable: *mut c_void,
    exceptional: *mut c_void,
    timeout: *const Timeval,
) -> c_int {
    let slot = slot().filter(|_| count == 0);
    if let Some(slot) = slot {
        slot.waiting.store(3, SeqCst);
    }
    // The system call takes what is left of the time away from what it is given.
    let left = (!timeout.is_null()).then(|| {
        // SAFETY: the caller's own pointer.
        let timeout = unsafe { &*timeout };
        Timespec {
            seconds: timeout.seconds,
            nanos: timeout.micros * 1000,
        }
    });
    // SAFETY: the caller's own arguments; no signal mask is given.
    let found = unsafe {
        let left = left.as_ref().map_or(core::ptr::null(), |left| left as *const Timespec);
        let no_mask = null_mut::<c_void>();
        syscall(
            number::PSELECT,
            count as c_long,
            readable,
            writable,
            exceptional,
            left,
            no_mask,
        ) as c_int
    };
    if let Some(slot) = slot {
        slot.waiting.store(0, SeqCst);
    }
    found
}
