//! One-shot operations: connect, open, read, poll, messages, sleep. The operation's slot owns all memory that
//! the kernel may access; dropping the future cancels, and the slot is freed by the completion.

use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use io_uring::squeue;

use super::core::{Core, CoreInner, Ring};
use super::key::{Key, OpKind};
use super::slots::{OpPayload, OpSlot, OpState};
use super::task::SlotWaker;
use super::timer;

impl CoreInner {
    fn op(&mut self, key: Key) -> Option<&mut OpSlot> {
        self.ops.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
    }

    fn add_op(&mut self, state: OpState, payload: OpPayload) -> Key {
        let generation = self.generation();
        let index = self.ops.insert(OpSlot { generation, state, payload }) as u32;
        Key { index, generation }
    }

    pub(super) fn handle_op(&mut self, key: Key, result: i32) {
        let Some(slot) =
            self.ops.get_mut(key.index as usize).filter(|slot| slot.generation == key.generation)
        else {
            return;
        };
        self.events_polled -= usize::from(matches!(slot.payload, OpPayload::Event));
        match std::mem::replace(&mut slot.state, OpState::Done(result)) {
            OpState::Waiting(waker) => {
                waker.into_iter().for_each(SlotWaker::wake_once);
            }
            OpState::Orphan => {
                let slot = self.ops.remove(key.index as usize);
                if let (OpPayload::Open(..), 0..) = (&slot.payload, result) {
                    self.close(result);
                }
            }
            OpState::Done(_) => {}
            sleeping @ OpState::Sleeping(..) => {
                debug_assert!(false, "a completion for a sleep");
                slot.state = sleeping;
            }
        }
    }
}

impl CoreInner {
    /// The timer entry of a sleep fired. The sleep may have been dropped, and its slot be used again: only a
    /// sleep that is due at this very tick ends.
    pub(super) fn end_sleep(&mut self, key: Key, due: u64) {
        let Some(slot) = self.op(key) else { return };
        if let OpState::Sleeping(until, waker) = &mut slot.state
            && *until == due
        {
            let waker = waker.take();
            slot.state = OpState::Done(0);
            waker.into_iter().for_each(SlotWaker::wake_once);
        }
    }
}

/// Queues `entry` and owns `payload` until its completion; resolves to the result and the payload.
/// `entry` may point into `payload` only where moving `payload` does not move the target (boxes, heap).
pub(super) fn submit(core: &Rc<Core>, entry: squeue::Entry, payload: OpPayload) -> Op {
    let mut inner = core.inner.borrow_mut();
    inner.events_polled += usize::from(matches!(payload, OpPayload::Event));
    let key = inner.add_op(OpState::Waiting(None), payload);
    inner.in_flight += 1;
    inner.push(&entry.user_data(key.user_data(OpKind::Op)));
    Op { core: core.clone(), key, done: false }
}

/// A kernel result as an `io::Result`.
pub(super) fn to_result(result: i32) -> io::Result<u32> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result as u32) }
}

/// The future of an operation.
pub(super) struct Op {
    core: Rc<Core>,
    key: Key,
    done: bool,
}

impl Future for Op {
    type Output = (i32, OpPayload);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let core = self.core.clone();
        let new = core.waker(cx);
        let mut inner = core.inner.borrow_mut();
        let slot = inner.op(self.key).expect("an operation's future keeps its slot");
        match &mut slot.state {
            OpState::Done(result) => {
                let result = *result;
                let slot = inner.ops.remove(self.key.index as usize);
                self.done = true;
                Poll::Ready((result, slot.payload))
            }
            OpState::Waiting(waker) | OpState::Sleeping(_, waker) => {
                *waker = Some(new);
                Poll::Pending
            }
            OpState::Orphan => unreachable!("an orphan has no future"),
        }
    }
}

impl Drop for Op {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut inner = self.core.inner.borrow_mut();
        let key = self.key;
        let Some(slot) = inner.op(key) else { return };
        match slot.state {
            OpState::Waiting(_) => {
                slot.state = OpState::Orphan;
                inner.cancel(key.user_data(OpKind::Op));
            }
            OpState::Sleeping(..) => drop(inner.ops.remove(key.index as usize)),
            OpState::Done(result) => {
                let slot = inner.ops.remove(key.index as usize);
                if let (OpPayload::Open(..), 0..) = (&slot.payload, result) {
                    // SAFETY: the completed open made this descriptor and it has no other owner.
                    drop(unsafe { OwnedFd::from_raw_fd(result) });
                }
            }
            OpState::Orphan => unreachable!("an orphan has no future"),
        }
    }
}

impl Ring {
    /// The result of `work`, if there is one within `time`; then `work` is dropped. On the clock of
    /// [`sleep`](Self::sleep).
    pub async fn within<T>(&self, time: Duration, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut over) = (pin!(work), pin!(self.sleep(time)));
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            Poll::Pending => over.as_mut().poll(cx).map(|()| None),
        })
        .await
    }

    /// Waits for `duration`, on the coarse wheel: up to 32 ms longer, never shorter.
    pub async fn sleep(&self, duration: Duration) {
        let op = {
            let mut inner = self.core.inner.borrow_mut();
            // The turn may have begun long ago, or the driver may be parked and has to be woken for the new
            // timer.
            inner.wake_driver();
            inner.read_tick(Instant::now());
            let due = timer::due(inner.tick, duration);
            let key = inner.add_op(OpState::Sleeping(due, None), OpPayload::None);
            inner.wheel.insert(due, key.token(false));
            Op { core: self.core.clone(), key, done: false }
        };
        op.await;
    }
}
