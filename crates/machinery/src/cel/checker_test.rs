//! What is said of wrong expressions, in the words of cel-go.

use crate::admission::{Expressions, Purpose};

#[test]
fn wrong_expressions_are_told_by_place_and_reason() {
    let mut expressions = Expressions::new(false, true);
    expressions.declare("number", "1 + 2").unwrap();
    expressions.declare("wrong", "variables.later").unwrap_err();
    expressions.declare("list", "[object.a]").unwrap();
    let told: Vec<String> = [
        "true",
        "object.spec.replicas > 3 && has(object.metadata.labels)",
        "object.spec.containers.all(c, c.image.startsWith('x')) ? true : dyn(1) == 2",
        "variables.list.exists(x, x == 1) || variables.number > 2.5 || variables.wrong == 'a'",
        "authorizer.group('').resource('pods').check('get').allowed() && authorizer.requestResource.check('x').errored()",
        "request.userInfo.extra['a'].exists(x, x == 'b') && namespaceObject.metadata.labels['x'] == 'y'",
        "object.?metadata.?labels.orValue({'a': 'b'}).size() == 1 && object.list.map(x, x.y).sum() > 3",
        "quantity('1').isLessThan(quantity('2')) && ip('1.1.1.1').family() == 4 && url('x').getHost() == ''",
        "[1, 2].map(x, x > 1, x * 2).sum() == 4 && ['a'].join(',') == 'a' && {'a': 1}.all(k, v, v == 1)",
        "object.optional.optMap(x, x.y).orValue('') == ''",
        "1",
        "'text'",
        "object",
        "object.spec.x + 1 ==",
        "(1",
        "1 +* 2",
        "self == 1",
        "params.x == 1",
        "unknown(1)",
        "object.unknown()",
        "'a'.contains(1)",
        "1 + 'a' == 2",
        "true && 1",
        "[1, 'a'].size() == 2",
        "{'a': 1, 'b': 'c'}.size() == 2",
        "request.none == 1",
        "request.name.x == 1",
        "variables.none == 1",
        "variables.number == 'a'",
        "namespaceObject.spec.none == 1",
        "size(1) == 1",
        "1.all(x, true)",
        "['a'].all(x, x)",
        "['a'].exists(x, x > 1)",
        "['a'].filter(x, x)",
        "'a'.matches('(')",
        "duration('x') == duration('1s')",
        "timestamp('x') == timestamp('2020-01-01T00:00:00Z')",
        "namespace == 1",
        "Object{} == 1",
        "jsonpatch.escapeKey('a') == 'b'",
        "'ä' == self\n  || other",
        "has(object)",
        "object.x.map(1, 2)",
        "x == y",
        "quantity('1').sign() == 1",
        "type(1) == int",
        "null",
        "string(object.x)",
    ]
    .iter()
    .map(|source| {
        let told = expressions.check(Purpose::Validation, source).err().unwrap_or_else(|| "fine".to_owned());
        format!("{source}\n=> {told}\n")
    })
    .collect();
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn patches_are_checked_as_far_as_their_types_are_known() {
    let expressions = Expressions::new(true, true);
    let told: Vec<String> = [
        (Purpose::ApplyConfiguration, "Object{spec: Object.spec{replicas: params.data.count}}"),
        (Purpose::ApplyConfiguration, "Object{?metadata: optional.of(Object.metadata{labels: {'a': 'b'}})}"),
        (Purpose::ApplyConfiguration, "Object.spec{}"),
        (Purpose::ApplyConfiguration, "{'a': 'b'}"),
        (Purpose::ApplyConfiguration, "Wrong{}"),
        (Purpose::JsonPatch, "[JSONPatch{op: 'add', path: '/x/' + jsonpatch.escapeKey('a/b'), value: 1}]"),
        (Purpose::JsonPatch, "[]"),
        (Purpose::JsonPatch, "[JSONPatch{op: 1, path: 'x'}]"),
        (Purpose::JsonPatch, "JSONPatch{op: 'add'}"),
        (Purpose::JsonPatch, "has(object.x) ? [JSONPatch{op: 'remove', path: '/x'}] : []"),
        (Purpose::AuditAnnotation, "1"),
        (Purpose::AuditAnnotation, "null"),
        (Purpose::AuditAnnotation, "has(object.x) ? 'a' : null"),
        (Purpose::Message, "authorizer.path('x')"),
        (Purpose::Message, "1"),
        (Purpose::Condition, "variables.x"),
    ]
    .iter()
    .map(|(purpose, source)| {
        let told = expressions.check(*purpose, source).err().unwrap_or_else(|| "fine".to_owned());
        format!("{source}\n=> {told}\n")
    })
    .collect();
    insta::assert_snapshot!(told.join("\n"));
}
