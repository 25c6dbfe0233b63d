//! Fibers: one thread of the operating system carries all threads of a run.
//!
//! A thread of a run is a thread of the operating system, with its own stack and thread-local variables, but only
//! begins and ends as one. In between it is a fiber: the run's carrier takes the fiber's stack and thread pointer for its
//! own, and gives them up for those of the next one where the fiber waits. That takes nanoseconds, where waking another
//! thread takes microseconds. Code cannot tell: its thread-local variables, `errno` and locks follow the thread pointer.
//!
//! The carrier is the thread that drives the run. A thread comes to its end by itself, because only the operating
//! system can end it, and its thread-local variables are dropped there: the carrier sleeps meanwhile.

#![expect(
    unsafe_code,
    reason = "stack and thread pointer are exchanged by hand; every fiber that is resumed was parked by the same code, \
              and only the one at work does either"
)]

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use crate::symbols::futex;

/// What is left free of the stack of a thread above its fiber, in bytes: it sleeps there.
const ROOM: usize = 4 * 1024;
/// What is left free of the stack of the carrier, which handles signals there.
const ROOM_OF_CARRIER: usize = 64 * 1024;

/// A thread of a run, as the carrier has it.
#[derive(Default)]
pub(crate) struct Fiber {
    /// Where its registers are while it is parked.
    stack: AtomicPtr<c_void>,
    thread_pointer: AtomicUsize,
    /// Whether its stack is prepared.
    has_begun: Flag,
    /// Whether its own thread works for it, as it does at its end.
    is_by_itself: AtomicBool,
    /// Lets its own thread go on.
    turn: Flag,
}

/// The thread of the operating system that carries the fibers of a run.
#[derive(Default)]
pub(crate) struct Carrier {
    /// Where it is while it carries a fiber.
    own: Fiber,
    /// The fiber that is to work when it carries none.
    next: AtomicPtr<Fiber>,
    /// The number by which the operating system knows the thread at work.
    thread: AtomicI32,
}

/// Something that a thread of the operating system waits for until another one sets it.
#[derive(Default)]
struct Flag(AtomicU32);

impl Flag {
    fn set(&self) {
        self.0.store(1, Ordering::SeqCst);
        futex::unpark(&self.0);
    }

    fn wait(&self) {
        while self.0.load(Ordering::SeqCst) == 0 {
            futex::park(&self.0, 0);
        }
    }

    /// Waits, and clears it.
    fn take(&self) {
        self.wait();
        self.0.store(0, Ordering::SeqCst);
    }
}

/// What a fiber does from its beginning to its end.
type Work<'w> = &'w mut dyn FnMut();

impl Carrier {
    /// Carries the fibers of a run on the current thread. The first of them does `work`; when that is done, this returns,
    /// whatever becomes of the others.
    pub(crate) fn carry(&self, first: &Fiber, work: impl FnOnce()) {
        self.note_thread();
        self.own.note_thread_pointer();
        self.own.has_begun.set();
        let mut work = Some(work);
        let mut work = || {
            work.take().into_iter().for_each(|work| work());
            self.leave_to_itself(first);
        };
        let mut work: Work<'_> = &mut work;
        first.prepare(ROOM_OF_CARRIER, &mut work);
        exchange(&self.own, first);
        while !first.is_by_itself() {
            // SAFETY: the schedule keeps every fiber that it picks until that has come to its end.
            let next = unsafe { &*self.next.load(Ordering::SeqCst) };
            if next.is_by_itself() {
                next.turn.set();
                self.own.turn.take();
                self.note_thread();
            } else {
                exchange(&self.own, next);
            }
        }
    }

    /// The current thread, which is `fiber`'s own one, has the carrier do `work` on its stack; returns when that is done,
    /// as the thread at work.
    pub(crate) fn lend(&self, fiber: &Fiber, work: impl FnOnce()) {
        let mut work = Some(work);
        let mut work = || {
            work.take().into_iter().for_each(|work| work());
            self.leave_to_itself(fiber);
        };
        let mut work: Work<'_> = &mut work;
        // The carrier handles them: nothing may happen here that takes more of the stack than there is room.
        block_signals();
        fiber.prepare(ROOM, &mut work);
        fiber.turn.take();
        self.note_thread();
    }

    /// The work of `fiber`, which is carried, is done.
    fn leave_to_itself(&self, fiber: &Fiber) {
        fiber.is_by_itself.store(true, Ordering::SeqCst);
        self.set_next(fiber);
        exchange(fiber, &self.own);
    }

    /// The fiber `own`, which is at work, gives way to `next` until it is its turn again.
    pub(crate) fn switch(&self, own: &Fiber, next: &Fiber) {
        if own.is_by_itself() {
            self.hand_over(next);
            own.turn.take();
            self.note_thread();
        } else if next.is_by_itself() {
            self.set_next(next);
            exchange(own, &self.own);
        } else {
            exchange(own, next);
        }
    }

    /// The thread at work, which nobody carries, gives way to `next`, for good or until it takes its turn.
    pub(crate) fn hand_over(&self, next: &Fiber) {
        self.set_next(next);
        self.own.turn.set();
    }

    fn set_next(&self, next: &Fiber) {
        let next = std::ptr::from_ref(next).cast_mut();
        self.next.store(next, Ordering::SeqCst);
    }

    /// The current thread is the one at work.
    fn note_thread(&self) {
        let id = rustix::thread::gettid().as_raw_nonzero().get();
        self.thread.store(id, Ordering::Relaxed);
    }

    /// The system call that the thread at work is in, by its number; `None` if it is in none, or if that cannot be told.
    pub(crate) fn system_call(&self) -> Option<i64> {
        let id = self.thread.load(Ordering::Relaxed);
        let told = std::fs::read_to_string(format!("/proc/self/task/{id}/syscall")).ok()?;
        let number = told.split(' ').next()?.parse().ok()?;
        // A number below zero says that it waits for something else, such as a page of memory.
        Some(number).filter(|number| *number >= 0)
    }
}

impl Fiber {
    fn is_by_itself(&self) -> bool {
        self.is_by_itself.load(Ordering::SeqCst)
    }

    fn note_thread_pointer(&self) {
        self.thread_pointer
            .store(processor::thread_pointer(), Ordering::SeqCst);
    }

    /// Parks it on the stack of the current thread, `room` bytes away, where it begins with `work`.
    fn prepare(&self, room: usize, work: &mut Work<'_>) {
        let top = (processor::stack_pointer() - room) & !0xF;
        let top: *mut processor::Registers = std::ptr::with_exposed_provenance_mut(top);
        let work = std::ptr::from_mut(work).cast();
        let registers = processor::Registers::that_begin(enter, work);
        let stack = top.wrapping_sub(1);
        // SAFETY: the part of the thread's own stack that nothing uses yet.
        unsafe { stack.write(registers) };
        self.stack.store(stack.cast(), Ordering::SeqCst);
        self.note_thread_pointer();
        self.has_begun.set();
    }
}

/// Where every fiber begins.
extern "C" fn enter(work: *mut c_void) -> ! {
    // SAFETY: what `prepare` was given, by who waits until the work is done.
    let work: &mut Work<'_> = unsafe { &mut *work.cast() };
    work();
    unreachable!("a fiber whose work is done is not resumed");
}

/// Parks `own` and resumes `next`, until somebody resumes `own`.
fn exchange(own: &Fiber, next: &Fiber) {
    next.has_begun.wait();
    let stack = next.stack.load(Ordering::SeqCst);
    let thread_pointer = next.thread_pointer.load(Ordering::SeqCst);
    // SAFETY: whoever is not at work was parked here, or is prepared to begin.
    unsafe { processor::exchange(own.stack.as_ptr(), stack, thread_pointer) };
}

/// Leaves every signal to other threads.
fn block_signals() {
    // SAFETY: plain data that outlives the calls.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}

/// What has to be said in the language of an x86-64; which registers a function keeps is in the System V ABI.
#[cfg(target_arch = "x86_64")]
mod processor {
    use std::arch::{asm, naked_asm};
    use std::ffi::c_void;
    use std::sync::LazyLock;

    /// What lies on top of the stack of a parked fiber.
    #[repr(C, align(16))]
    pub(super) struct Registers {
        mxcsr: u32,
        x87_control: u32,
        r15: usize,
        r14: usize,
        r13: usize,
        r12: usize,
        rbx: usize,
        rbp: usize,
        goes_on_at: usize,
    }

    impl Registers {
        /// Those of a fiber that begins with `function`, called with `argument`.
        pub(super) fn that_begin(
            function: extern "C" fn(*mut c_void) -> !,
            argument: *mut c_void,
        ) -> Self {
            Registers {
                mxcsr: 0x1F80,
                x87_control: 0x037F,
                r15: 0,
                r14: 0,
                r13: function as usize,
                r12: argument.expose_provenance(),
                rbx: 0,
                // The end of the chain of frames.
                rbp: 0,
                goes_on_at: begin as *const () as usize,
            }
        }
    }

    #[unsafe(naked)]
    unsafe extern "C" fn begin() {
        naked_asm!("mov rdi, r12", "call r13", "ud2")
    }

    /// Whether a program may write the thread pointer without the operating system's help (bit 1 of `AT_HWCAP2`).
    static MAY_WRITE: LazyLock<bool> = LazyLock::new(|| {
        // SAFETY: a question without pointers.
        let capabilities = unsafe { libc::getauxval(libc::AT_HWCAP2) };
        capabilities & 2 != 0
    });

    pub(super) fn stack_pointer() -> usize {
        let pointer;
        // SAFETY: it only reads the register.
        unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
        pointer
    }

    pub(super) fn thread_pointer() -> usize {
        let pointer;
        // SAFETY: the thread's control block begins with its own address.
        unsafe { asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, readonly, preserves_flags)) };
        pointer
    }

    /// Parks what works at `from`, and resumes what is parked at `to`.
    ///
    /// # Safety
    ///
    /// The registers at `to` were left there by this function or by [`Registers::that_begin`], on the stack of the
    /// thread with `thread_pointer`, and nobody else resumes them.
    pub(super) unsafe fn exchange(from: *mut *mut c_void, to: *mut c_void, thread_pointer: usize) {
        // SAFETY: the caller's promise.
        unsafe { exchange_registers(from, to, thread_pointer, usize::from(*MAY_WRITE)) };
    }

    #[unsafe(naked)]
    unsafe extern "C" fn exchange_registers(
        from: *mut *mut c_void,
        to: *mut c_void,
        thread_pointer: usize,
        may_write: usize,
    ) {
        naked_asm!(
            "push rbp",
            "push rbx",
            "push r12",
            "push r13",
            "push r14",
            "push r15",
            "sub rsp, 8",
            "stmxcsr [rsp]",
            "fnstcw [rsp + 4]",
            "mov [rdi], rsp",
            "mov rsp, rsi",
            "test rcx, rcx",
            "jz 2f",
            "wrfsbase rdx",
            "jmp 3f",
            "2:",
            "mov eax, {arch_prctl}",
            "mov edi, {set_fs}",
            "mov rsi, rdx",
            "syscall",
            "3:",
            "ldmxcsr [rsp]",
            "fldcw [rsp + 4]",
            "add rsp, 8",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbx",
            "pop rbp",
            "ret",
            arch_prctl = const libc::SYS_arch_prctl,
            set_fs = const 0x1002,
        )
    }
}

/// What has to be said in the language of an ARM of 64 bits; which registers a function keeps is in its procedure call
/// standard (AAPCS64).
#[cfg(target_arch = "aarch64")]
mod processor {
    use std::arch::{asm, naked_asm};
    use std::ffi::c_void;

    /// What lies on top of the stack of a parked fiber.
    #[repr(C, align(16))]
    pub(super) struct Registers {
        d8_to_d15: [u64; 8],
        x19: usize,
        x20: usize,
        x21_to_x28: [usize; 8],
        frame: usize,
        goes_on_at: usize,
        fpcr: usize,
        _aligned: usize,
    }

    impl Registers {
        /// Those of a fiber that begins with `function`, called with `argument`.
        pub(super) fn that_begin(
            function: extern "C" fn(*mut c_void) -> !,
            argument: *mut c_void,
        ) -> Self {
            Registers {
                d8_to_d15: [0; 8],
                x19: argument.expose_provenance(),
                x20: function as usize,
                x21_to_x28: [0; 8],
                // The end of the chain of frames.
                frame: 0,
                goes_on_at: begin as *const () as usize,
                fpcr: 0,
                _aligned: 0,
            }
        }
    }

    #[unsafe(naked)]
    unsafe extern "C" fn begin() {
        naked_asm!("mov x0, x19", "blr x20", "brk #1")
    }

    pub(super) fn stack_pointer() -> usize {
        let pointer;
        // SAFETY: it only reads the register.
        unsafe { asm!("mov {}, sp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
        pointer
    }

    pub(super) fn thread_pointer() -> usize {
        let pointer;
        // SAFETY: it only reads the register.
        unsafe { asm!("mrs {}, tpidr_el0", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
        pointer
    }

    /// Parks what works at `from`, and resumes what is parked at `to`.
    ///
    /// # Safety
    ///
    /// The registers at `to` were left there by this function or by [`Registers::that_begin`], on the stack of the
    /// thread with `thread_pointer`, and nobody else resumes them.
    #[unsafe(naked)]
    pub(super) unsafe extern "C" fn exchange(
        from: *mut *mut c_void,
        to: *mut c_void,
        thread_pointer: usize,
    ) {
        naked_asm!(
            "sub sp, sp, #176",
            "stp d8, d9, [sp]",
            "stp d10, d11, [sp, #16]",
            "stp d12, d13, [sp, #32]",
            "stp d14, d15, [sp, #48]",
            "stp x19, x20, [sp, #64]",
            "stp x21, x22, [sp, #80]",
            "stp x23, x24, [sp, #96]",
            "stp x25, x26, [sp, #112]",
            "stp x27, x28, [sp, #128]",
            "stp x29, x30, [sp, #144]",
            "mrs x9, fpcr",
            "str x9, [sp, #160]",
            "mov x9, sp",
            "str x9, [x0]",
            "mov sp, x1",
            "msr tpidr_el0, x2",
            "ldr x9, [sp, #160]",
            "msr fpcr, x9",
            "ldp x29, x30, [sp, #144]",
            "ldp x27, x28, [sp, #128]",
            "ldp x25, x26, [sp, #112]",
            "ldp x23, x24, [sp, #96]",
            "ldp x21, x22, [sp, #80]",
            "ldp x19, x20, [sp, #64]",
            "ldp d14, d15, [sp, #48]",
            "ldp d12, d13, [sp, #32]",
            "ldp d10, d11, [sp, #16]",
            "ldp d8, d9, [sp]",
            "add sp, sp, #176",
            "ret",
        )
    }
}
