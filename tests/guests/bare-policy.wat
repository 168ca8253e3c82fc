;; A bare policy, as no language's compiler would make it; tests put what they need in place of the words in braces.
;; What is imported comes first. At 1024 is what `configure` answers, a subscription to `on-request` without fields; at
;; 2048 the verdict to go on; 3072 to 8191 are free.
(module
    {imports}
    (memory (export "memory") 2)
    (global $top (mut i32) (i32.const 8192))
    (data (i32.const 1032) "\01")
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        global.get $top
        (global.set $top (i32.and (i32.add (i32.add (global.get $top) (local.get 3)) (i32.const 7)) (i32.const -8))))
    (func (export "sluice:gateway/policy-plugin@0.1.0#configure") (param i32 i32 i32) (result i32)
        {configure}
        (i32.const 1024))
    (func (export "sluice:gateway/policy-plugin@0.1.0#release") (param i32))
    (func (export "sluice:gateway/policy-plugin@0.1.0#on-request")
        (param $handle i32) (param $fields i32) (param $count i32) (result i32)
        {on-request})
    (func (export "sluice:gateway/policy-plugin@0.1.0#on-response") (param i32 i64 i32 i32 i32) (result i32)
        (i32.const 2048))
    (func (export "sluice:gateway/policy-plugin@0.1.0#on-request-body") (param i32 i64 i32 i32) (result i32)
        (i32.const 2048))
    (func (export "sluice:gateway/policy-plugin@0.1.0#on-response-body") (param i32 i64 i32 i32 i32) (result i32)
        (i32.const 2048))
    (func (export "sluice:gateway/policy-plugin@0.1.0#schema") (result i32) (i32.const 2048))
    (func (export "sluice:gateway/policy-plugin@0.1.0#on-complete")
        (param i32 i64 i32 i32 i32 i64 i32 i32 i32 i32 i64 i64 i32 i32 i32) unreachable)
)
