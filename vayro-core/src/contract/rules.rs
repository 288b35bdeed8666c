//! How a list of rules becomes tests.

/// Generates one test per rule of a module of [`crate::contract`], each with a fresh fixture and a time limit.
///
/// Not called directly: every suite has a macro of its own that names its rules.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_rules {
    ($module:ident, $make:expr, $($rule:ident)+) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $rule() {
            let fixture = $make.await;
            let rule = $crate::contract::$module::$rule(&fixture);
            tokio::time::timeout($crate::contract::RULE_TIME_MAX, rule).await.expect("the rule ends in time");
        }
    )+ };
}
