//! Between the values of `bobbin-databases` and those that the bindings generate anew for each version.

use super::{Answer, Argument, Failure, v1_wit, v2_wit, v3_wit};

macro_rules! values {
    ($($wit:tt)+) => {
        const _: () = {
            use $($wit)+ as wit;

            impl From<wit::RedisParameter> for Argument {
                fn from(parameter: wit::RedisParameter) -> Self {
                    match parameter {
                        wit::RedisParameter::Int64(number) => Self::Int64(number),
                        wit::RedisParameter::Binary(bytes) => Self::Binary(bytes),
                    }
                }
            }

            impl From<Answer> for wit::RedisResult {
                fn from(answer: Answer) -> Self {
                    match answer {
                        Answer::Nil => Self::Nil,
                        Answer::Status(text) => Self::Status(text),
                        Answer::Int64(number) => Self::Int64(number),
                        Answer::Binary(bytes) => Self::Binary(bytes),
                    }
                }
            }
        };
    };
}

macro_rules! errors {
    ($($wit:tt)+) => {
        impl From<Failure> for $($wit)+::Error {
            fn from(failure: Failure) -> Self {
                match failure {
                    Failure::InvalidAddress => Self::InvalidAddress,
                    Failure::TooManyConnections => Self::TooManyConnections,
                    Failure::Other(message) => Self::Other(message),
                }
            }
        }
    };
}

values!(v1_wit::fermyon::spin::redis_types);
values!(v2_wit::fermyon::spin::redis);
values!(v3_wit::spin::redis::redis);
errors!(v2_wit::fermyon::spin::redis);
errors!(v3_wit::spin::redis::redis);

/// The oldest version has no words.
impl From<Failure> for v1_wit::fermyon::spin::redis_types::Error {
    fn from(failure: Failure) -> Self {
        tracing::debug!("an operation on a Redis server failed: {failure:?}");
        Self::Error
    }
}
