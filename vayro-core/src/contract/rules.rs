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

/// Generates one test that goes through the rules of a module of [`crate::contract`] in turn, for fixtures that
/// are slow to make.
///
/// `$world` is an expression of a future of a value with an asynchronous method `fixture`, which is called for
/// each rule. Used as the first argument of the macro of a suite.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_rules_in_turn {
    ($module:ident, $world:expr, $($rule:ident)+) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn every_rule_holds() {
            let world = $world.await;
            $({
                let fixture = world.fixture().await;
                let rule = $crate::contract::$module::$rule(&fixture);
                let within = tokio::time::timeout($crate::contract::RULE_TIME_MAX, rule).await;
                within.expect(concat!(stringify!($rule), " ends in time"));
            })+
        }
    };
}
