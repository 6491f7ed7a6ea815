//! Tasks of a core: a slab of futures and the list of those that are ready, which the driver runs between
//! its turns. A wake-up is a number in a list, and a waker is that number and the core's, so that it costs no
//! memory, no count and no lock on its own core; from another thread it goes through a set and an eventfd.
//!
//! The slab is also the registry: when the driver ends, however that happens, what is left of the tasks is
//! dropped, and with them the descriptors and the handles of the ring that they hold.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use slab::Slab;

use super::Ring;
use super::doorbell::{self, Doorbell};
use super::sys;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A task's number and, above it, its core's. Never 0. Carried by wakers as their data.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TaskId(usize);

const _: () = assert!(usize::BITS == 64, "a task's number and its core's share a pointer");

impl TaskId {
    fn new(core: u16, index: u32) -> Self {
        Self((core as usize) << 32 | index as usize)
    }

    fn core(self) -> u16 {
        (self.0 >> 32) as u16
    }

    fn index(self) -> u32 {
        self.0 as u32
    }

    /// The task that `waker` wakes, if it is a task of any ring.
    pub(super) fn of(waker: &Waker) -> Option<Self> {
        ptr::eq(waker.vtable(), &raw const VTABLE).then(|| Self(waker.data().addr()))
    }

    fn waker(self) -> Waker {
        // SAFETY: the functions of `VTABLE` accept any number as data: they compare it, and never use it as
        // an address. They may be called from any thread.
        unsafe { Waker::new(ptr::without_provenance(self.0), &VTABLE) }
    }

    /// Marks the task ready. A task that has ended is not found, or another that got its number is polled
    /// once too often, as every future allows.
    pub(super) fn wake(self) {
        let is_here = LISTS.try_with(|lists| {
            let lists = lists.borrow();
            let list = lists.iter().find(|list| list.core == self.core());
            list.map(|list| list.push(self.index())).is_some()
        });
        // An error means that the thread, and with it its cores, is ending.
        if !is_here.unwrap_or(false) {
            doorbell::ring(self.core(), self.index());
        }
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(
    |data| RawWaker::new(data, &VTABLE),
    |data| TaskId(data.addr()).wake(),
    |data| TaskId(data.addr()).wake(),
    |_| {},
);

thread_local! {
    /// The lists of this thread's rings; one, except in tests.
    static LISTS: RefCell<Vec<Rc<ReadyList>>> = const { RefCell::new(Vec::new()) };
}

/// Tasks that are ready to be polled, in order, and wakers of others that wait to be called.
pub(super) struct ReadyList {
    core: u16,
    queues: RefCell<Queues>,
    /// The event on which the driver sleeps, while it does.
    asleep: Cell<Option<RawFd>>,
}

#[derive(Default)]
struct Queues {
    tasks: Vec<u32>,
    /// By task, whether it is in `tasks`, or in what the driver took of them and has not polled.
    queued: Vec<bool>,
    /// Wakers that are not of a ring's tasks, to be woken or dropped by the driver: they may run any code.
    woken: Vec<Waker>,
    dropped: Vec<Waker>,
}

impl ReadyList {
    fn push(&self, index: u32) {
        let mut queues = self.queues.borrow_mut();
        let at = index as usize;
        if at >= queues.queued.len() {
            queues.queued.resize((at + 1).next_power_of_two(), false);
        }
        if !std::mem::replace(&mut queues.queued[at], true) {
            queues.tasks.push(index);
            self.rouse();
        }
    }

    fn rouse(&self) {
        if let Some(event) = self.asleep.take() {
            sys::signal_event(event);
        }
    }

    /// Nothing is ready, and no waker waits to be called.
    pub(super) fn is_empty(&self) -> bool {
        let queues = self.queues.borrow();
        queues.tasks.is_empty() && queues.woken.is_empty()
    }

    /// Until the next wake-up, which signals `event`; or, with `None`, no longer.
    pub(super) fn set_asleep(&self, event: Option<RawFd>) {
        self.asleep.set(event);
    }

    /// Calls the wakers of others. Not while anything is borrowed.
    pub(super) fn wake_others(&self) {
        loop {
            let (woken, dropped) = {
                let mut queues = self.queues.borrow_mut();
                if queues.woken.is_empty() && queues.dropped.is_empty() {
                    return;
                }
                (std::mem::take(&mut queues.woken), std::mem::take(&mut queues.dropped))
            };
            woken.into_iter().for_each(Waker::wake);
            drop(dropped);
        }
    }
}

/// Whom an event wakes, as slots keep it. It can be woken and dropped while the core is borrowed: the waker
/// of a task only appends to a list, and every other, which may run any code, is called by the driver later.
pub(super) enum SlotWaker {
    Task(TaskId),
    Other(Box<OtherWaker>),
}

/// A waker that is not of a ring's task.
pub(super) struct OtherWaker {
    // INVARIANT: `Some` until it is dropped.
    waker: Option<Waker>,
    ready: Rc<ReadyList>,
}

impl SlotWaker {
    /// That of the task that polls. Called before anything is borrowed: to clone a waker may run any code.
    pub(super) fn of(cx: &Context<'_>, ready: &Rc<ReadyList>) -> Self {
        match TaskId::of(cx.waker()) {
            Some(task) => Self::Task(task),
            None => {
                Self::Other(Box::new(OtherWaker { waker: Some(cx.waker().clone()), ready: ready.clone() }))
            }
        }
    }

    /// Whether both wake the same.
    pub(super) fn will_wake(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Task(one), Self::Task(two)) => one == two,
            (Self::Other(one), Self::Other(two)) => match (&one.waker, &two.waker) {
                (Some(one), Some(two)) => one.will_wake(two),
                _ => false,
            },
            _ => false,
        }
    }

    /// Wakes, and keeps what may be woken again.
    pub(super) fn wake(slot: &mut Option<Self>) {
        match slot {
            Some(Self::Task(task)) => task.wake(),
            Some(Self::Other(other)) => {
                other.queue_wake();
                *slot = None;
            }
            None => {}
        }
    }

    /// Wakes once.
    pub(super) fn wake_once(self) {
        Self::wake(&mut Some(self));
    }
}

impl OtherWaker {
    fn queue_wake(&mut self) {
        self.ready.queues.borrow_mut().woken.extend(self.waker.take());
        self.ready.rouse();
    }
}

impl Drop for OtherWaker {
    fn drop(&mut self) {
        self.ready.queues.borrow_mut().dropped.extend(self.waker.take());
    }
}

/// A core's tasks.
pub(super) struct Tasks {
    /// `None` is the task that is being polled.
    slots: RefCell<Slab<Option<Task>>>,
    pub(super) ready: Rc<ReadyList>,
    doorbell: Doorbell,
    /// Those of the current pass; kept for its memory.
    pass: Cell<Vec<u32>>,
    /// The one that is polled.
    polled: Cell<Option<u32>>,
    /// The driver has ended: a new task would never run.
    ended: Cell<bool>,
}

impl Tasks {
    /// For a core of this thread that sleeps on `parked`.
    ///
    /// # Errors
    /// The kernel's, when it has no descriptors.
    pub(super) fn new(parked: impl AsFd) -> io::Result<Self> {
        let doorbell = Doorbell::new(parked)?;
        let ready =
            Rc::new(ReadyList { core: doorbell.core(), queues: RefCell::default(), asleep: Cell::new(None) });
        LISTS.with_borrow_mut(|lists| lists.push(ready.clone()));
        Ok(Self {
            slots: RefCell::default(),
            ready,
            doorbell,
            pass: Cell::default(),
            polled: Cell::new(None),
            ended: Cell::new(false),
        })
    }

    fn add(&self, task: Task) {
        if self.ended.get() {
            return;
        }
        let index = self.slots.borrow_mut().insert(Some(task)) as u32;
        self.ready.push(index);
    }

    /// Polls every task that is ready, once. Those that become ready meanwhile are left for the next pass.
    pub(super) fn run(&self) {
        let mut pass = self.pass.take();
        std::mem::swap(&mut pass, &mut self.ready.queues.borrow_mut().tasks);
        for index in pass.drain(..) {
            // First, so that a wake-up during the poll counts.
            self.ready.queues.borrow_mut().queued[index as usize] = false;
            let task = self.slots.borrow_mut().get_mut(index as usize).and_then(Option::take);
            let Some(mut task) = task else { continue };
            let waker = TaskId::new(self.ready.core, index).waker();
            self.polled.set(Some(index));
            let polled = task.as_mut().poll(&mut Context::from_waker(&waker));
            self.polled.set(None);
            match polled {
                Poll::Pending => self.slots.borrow_mut()[index as usize] = Some(task),
                Poll::Ready(()) => {
                    drop_quietly(task);
                    self.slots.borrow_mut().remove(index as usize);
                }
            }
        }
        self.pass.set(pass);
    }

    /// The task that is polled: work that it queues takes turns with that of other tasks. `None` for what
    /// is no task of the ring's.
    pub(super) fn polled(&self) -> Option<u32> {
        self.polled.get()
    }

    /// Drops all tasks, and those that are added by that, and accepts no more.
    pub(super) fn end(&self) {
        self.ended.set(true);
        let tasks = std::mem::take(&mut *self.slots.borrow_mut());
        tasks.into_iter().filter_map(|(_, task)| task).for_each(drop_quietly);
        self.ready.wake_others();
    }
}

/// Drops a task whose destructors may panic: that ends neither the driver nor the other tasks.
fn drop_quietly(task: Task) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(task)));
}

impl Drop for Tasks {
    fn drop(&mut self) {
        let core = self.ready.core;
        // While a thread ends its lists may be gone already.
        let _ = LISTS.try_with(|lists| lists.borrow_mut().retain(|list| list.core != core));
    }
}

/// A future that passes a panic to `on_panic` instead of unwinding into the driver.
struct Isolated<F, P> {
    // INVARIANT: pinned whenever `Isolated` is; never moved out, dropped in place.
    future: F,
    on_panic: Option<P>,
}

impl<F: Future<Output = ()>, P: FnOnce(Box<dyn Any + Send>)> Future for Isolated<F, P> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `future` is pinned structurally: it is only touched through this projection and is not
        // moved; `on_panic` is never pinned. `Isolated` has no `Drop` of its own.
        let (future, on_panic) = unsafe {
            let this = self.get_unchecked_mut();
            (Pin::new_unchecked(&mut this.future), &mut this.on_panic)
        };
        match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => poll,
            Err(panic) => {
                if let Some(on_panic) = on_panic.take() {
                    on_panic(panic);
                }
                Poll::Ready(())
            }
        }
    }
}

impl Ring {
    /// Runs `future` on this core, while the ring is driven; it is dropped when the driver ends. A panic ends
    /// only that task; `on_panic` gets the payload.
    pub fn spawn<F, P>(&self, future: F, on_panic: P)
    where
        F: Future<Output = ()> + 'static,
        P: FnOnce(Box<dyn Any + Send>) + 'static,
    {
        self.core.tasks.add(Box::pin(Isolated { future, on_panic: Some(on_panic) }));
    }

    /// Receives wake-ups from other threads.
    pub(super) async fn answer_doorbell(self) {
        loop {
            match self.readable(&self.core.tasks.doorbell.event().event).await {
                Ok(()) => {}
                // Out of memory, at worst: wake-ups from outside are late meanwhile.
                Err(_) => self.sleep(DOORBELL_RETRY).await,
            }
            let tasks = &self.core.tasks;
            tasks.doorbell.answer().into_iter().for_each(|task| tasks.ready.push(task));
        }
    }
}

/// How long wake-ups from other threads wait after the kernel refused to poll their event.
const DOORBELL_RETRY: std::time::Duration = std::time::Duration::from_millis(100);

/// Lets every other ready task run first.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
