//! sprig's functions on whole numbers. What is no number counts as 0, as in sprig; what does not fit is an error.

use super::super::value::Value;
use super::{MAX_ITEMS, Table, one, two};

pub(super) const FUNCTIONS: Table = &[
    ("atoi", |args, _| one(args).map(|arg| Value::Int(arg.to_string().parse().unwrap_or(0)))),
    ("int", |args, _| one(args).map(|arg| Value::Int(number(arg)))),
    ("int64", |args, _| one(args).map(|arg| Value::Int(number(arg)))),
    ("add", |args, _| folded(args, 0, i64::checked_add)),
    ("add1", |args, _| one(args).and_then(|arg| fits(number(arg).checked_add(1)))),
    ("mul", |args, _| folded(args, 1, i64::checked_mul)),
    ("sub", |args, _| two(args).and_then(|(a, b)| fits(number(a).checked_sub(number(b))))),
    ("div", |args, _| two(args).and_then(|(a, b)| fits(number(a).checked_div(number(b))))),
    ("mod", |args, _| two(args).and_then(|(a, b)| fits(number(a).checked_rem(number(b))))),
    ("max", |args, _| args.iter().map(number).max().map(Value::Int).ok_or_else(none)),
    ("biggest", |args, _| args.iter().map(number).max().map(Value::Int).ok_or_else(none)),
    ("min", |args, _| args.iter().map(number).min().map(Value::Int).ok_or_else(none)),
    ("until", |args, _| one(args).and_then(until)),
    ("untilStep", |args, _| until_step(args)),
];

fn none() -> String {
    "takes at least one argument".to_owned()
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::Bool(value) => i64::from(*value),
        Value::Text(text) => text.parse().unwrap_or(0),
        _ => 0,
    }
}

fn fits(number: Option<i64>) -> Result<Value, String> {
    number.map(Value::Int).ok_or_else(|| "gives no number that fits".to_owned())
}

fn folded(args: &[Value], first: i64, step: fn(i64, i64) -> Option<i64>) -> Result<Value, String> {
    fits(args.iter().try_fold(first, |sum, arg| step(sum, number(arg))))
}

/// `untilStep 3 6 2` is 3, 5.
fn until_step(args: &[Value]) -> Result<Value, String> {
    let [start, stop, step] = args else { return Err(format!("takes three arguments, not {}", args.len())) };
    let (start, stop, step) = (number(start), number(stop), number(step));
    let goes_on = |at: &i64| (step > 0 && *at < stop) || (step < 0 && *at > stop);
    let all = std::iter::successors(Some(start), |at| at.checked_add(step)).take_while(goes_on);
    let items: Vec<_> = all.take(MAX_ITEMS.saturating_add(1)).map(Value::Int).collect();
    if items.len() > MAX_ITEMS { Err(format!("more than {MAX_ITEMS} items")) } else { Ok(Value::List(items)) }
}

/// `until 3` is 0, 1, 2.
fn until(count: &Value) -> Result<Value, String> {
    let count = number(count);
    if usize::try_from(count).is_ok_and(|count| count > MAX_ITEMS) {
        return Err(format!("more than {MAX_ITEMS} items"));
    }
    Ok(Value::List((0..count).map(Value::Int).collect()))
}
