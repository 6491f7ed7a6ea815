//! Functions as handlers: asynchronous closures and functions whose arguments are extractors.

use std::future::Future;
use std::marker::PhantomData;

use super::Service;
use super::extract::FromRequest;
use super::into_response::IntoResponse;
use super::request::Request;
use super::response::Response;
use super::states::States;

/// A function that answers requests: `async |Path(id): Path<u64>, Json(item): Json<Item>| …`, or an
/// `async fn` of up to eight extractors, returning what [`IntoResponse`] knows. It need not be `Send`,
/// nor its future.
///
/// `Args` is the tuple of its argument types; it only distinguishes the implementations.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is an async closure or function of at most eight arguments; each has to be \
            `FromRequest` (in closures with its type written out), and the result `IntoResponse`"
)]
pub trait Handler<Args>: 'static {
    /// Extracts the arguments and calls the function.
    fn handle(&self, request: Request) -> impl Future<Output = Response>;

    /// Whether the arguments can be extracted; checked when the router is built.
    ///
    /// # Errors
    /// The reason, as a sentence.
    fn check(states: &States) -> Result<(), String>;
}

/// A handler as a service.
pub(super) struct HandlerService<H, Args> {
    handler: H,
    args: PhantomData<fn(Args)>,
}

impl<H, Args> HandlerService<H, Args> {
    pub(super) fn new(handler: H) -> Self {
        Self { handler, args: PhantomData }
    }
}

impl<H: Handler<Args>, Args: 'static> Service for HandlerService<H, Args> {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        self.handler.handle(request)
    }
}

macro_rules! handlers {
    ($(($($arg:ident)*))+) => {
        $(
            impl<Function, Output, $($arg),*> Handler<($($arg,)*)> for Function
            where
                Function: AsyncFn($($arg),*) -> Output + 'static,
                Output: IntoResponse,
                $($arg: FromRequest,)*
            {
                #[allow(non_snake_case, unused_mut, unused_variables, reason = "one text for every count")]
                async fn handle(&self, mut request: Request) -> Response {
                    $(
                        let $arg = match $arg::from_request(&mut request).await {
                            Ok(value) => value,
                            Err(problem) => return problem.into_response(),
                        };
                    )*
                    // Without other owners the context returns to the pool now, before a long wait.
                    drop(request);
                    self($($arg),*).await.into_response()
                }

                #[allow(unused_variables, reason = "one text for every count")]
                fn check(states: &States) -> Result<(), String> {
                    let takers = 0 $(+ usize::from($arg::TAKES_BODY))*;
                    if takers > 1 {
                        return Err("more than one of its arguments takes the body; only one can".to_owned());
                    }
                    $($arg::check(states)?;)*
                    Ok(())
                }
            }
        )+
    };
}

handlers! {
    ()
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
}
