//! Tasks of a core: spawned on the executor, counted, and isolated so that a panic ends only the task.

use std::any::Any;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Ring;

thread_local! {
    /// Polls of tasks spawned through the ring on this thread. The driver compares it around a yield: if it
    /// is unchanged, no other task was ready and the driver may wait in the kernel.
    static POLLS: Cell<u64> = const { Cell::new(0) };
}

/// Polls of spawned tasks on this thread so far.
pub(super) fn polls() -> u64 {
    POLLS.get()
}

/// A future that counts its polls and passes a panic to `on_panic` instead of unwinding into the executor.
struct Isolated<F, P> {
    // INVARIANT: pinned whenever `Isolated` is; never moved out, dropped in place.
    future: F,
    on_panic: Option<P>,
}

impl<F: Future<Output = ()>, P: FnOnce(Box<dyn Any + Send>)> Future for Isolated<F, P> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        POLLS.set(POLLS.get() + 1);
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
    /// Runs `future` on this core. A panic ends only that task; `on_panic` gets the payload.
    pub fn spawn<F, P>(&self, future: F, on_panic: P)
    where
        F: Future<Output = ()> + 'static,
        P: FnOnce(Box<dyn Any + Send>) + 'static,
    {
        glommio::spawn_local(Isolated { future, on_panic: Some(on_panic) }).detach();
    }
}

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
