//! The page `docs/api-parity.md`.

use std::fmt::Write as _;

use super::transcript::REFERENCE_VERSION;
use super::{accepted, item, scenario};

/// The whole page, Markdown.
pub fn page() -> String {
    let scenarios = scenario::all();
    let mut text = format!(
        "# The embedded API and kube-apiserver\n\n\
         <!-- Made from crates/conformance/scenarios; accept a change with KOGGE_UPDATE=1 cargo test -p kogge-conformance. -->\n\n\
         The embedded server is held against kube-apiserver {REFERENCE_VERSION}: {} scenarios send the same requests to both, and\n\
         status code, headers and body of every answer have to be the same, word by word, once times, uids, revisions and\n\
         generated names are taken out. Any server can be judged:\n\n\
         \x20   kogge conformance run --suite api --kubeconfig FILE                    # by recorded answers of kube-apiserver\n\
         \x20   kogge conformance run --suite api --kubeconfig FILE --against OTHER    # by another server\n\
         \x20   kogge conformance run --suite api --kubeconfig FILE --scenario 'patch' -o junit\n\n\
         Each scenario works in a namespace of its own and with groups of its own, and deletes what it made, so a shared\n\
         server is safe. It needs the rights of an administrator. `-o json` has every difference with what was expected and\n\
         what was answered; the exit code is 1 if there is any.\n\n\
         Some scenarios have webhooks, for admission and conversion. This process serves them, and the cluster has to reach\n\
         it: a cluster on this machine does at 127.0.0.1; for others name an address with `--webhook-address`, or these\n\
         scenarios are skipped.\n\n\
         What answers one by one may still not hold together, so real clients run on both servers too: Helm, with a chart that\n\
         has definitions and hooks, and a manager made with controller-runtime. All they print and every object they leave has\n\
         to be the same (`crates/conformance/tests/clients`).\n\n\
         ## Wrong requests\n\n\
         A scenario tries what its author thought of. So the embedded server and a real kube-apiserver also get requests made by\n\
         rules: every place of a valid object of nearly every kind with every kind of fault, as create, update and each kind of\n\
         patch, and bodies, types, paths and queries that are wrong whatever they are about. Both have to answer the same, word by\n\
         word. Every test run sends some thousands of them, chosen by a seed; a long one sends all (about a quarter of an hour).\n\n\
         With them go matrices, every combination of a table (some 9,000, of which a run sends 3,000): each path of discovery with\n\
         each method (3,800), each parameter of a query with each odd value (2,400), each odd body (1,600) and each type (1,000) at\n\
         each endpoint, and paths and headers as no client writes them, byte by byte (300).\n\n\
         What a request is answered depends on what was written before it, so sequences of ten random writes each go to both as\n\
         well, right and wrong ones mixed: creates, updates, patches of every kind, applies of several managers, the scale, the\n\
         status, deletions. Every answer is compared, managed fields with it; a run sends 300 sequences.\n\n\
         What custom resources are like is up to whoever defines them: random definitions, with random rules, defaults and faults,\n\
         go to both servers, and sequences of writes to objects of those that are taken (60 kinds a run). Each function of the\n\
         language of rules (CEL) is evaluated by both with some ninety odd values:\n\n\
         \x20   cargo test -p kogge-conformance --test wrong_objects\n\
         \x20   WRONG_OBJECTS_CASES=all cargo test -p kogge-conformance --test wrong_objects\n\
         \x20   WRONG_OBJECTS_SEED=2 WRONG_OBJECTS_CASES=20000 cargo test -p kogge-conformance --test wrong_objects\n\
         \x20   WRONG_OBJECTS_SEED=2 WRONG_OBJECTS_SEQUENCES=3000 cargo test -p kogge-conformance --test wrong_objects\n\
         \x20   WRONG_OBJECTS_SEED=2 WRONG_OBJECTS_KINDS=500 cargo test -p kogge-conformance --test wrong_objects\n\
         \x20   WRONG_OBJECTS_ONLY='jobs.* update .*completions' cargo test -p kogge-conformance --test wrong_objects\n\n\
         The differences, with the requests in full, are in `wrong-objects.txt` below `target/tmp`. Those that are known and not mended\n\
         yet are in the snapshot of the test, which may only become shorter; those that are meant are among the accepted ones below.\n\n\
         ## Ownership\n\n\
         Server-side apply is held against Kubernetes' own field manager, in a small Go program, by sequences of writes: random\n\
         schemas, objects, managers and versions, applies with and without force, updates in between. Object, owners and\n\
         conflicts have to be the same after each step. Every test run compares 6,000 sequences, always the same ones; the long\n\
         run compares 204,000 others, some minutes long:\n\n\
         \x20   cargo test -p kogge-machinery --test apply_oracle\n\
         \x20   APPLY_ORACLE_CASES=34000 APPLY_ORACLE_SEED=random cargo test --release -p kogge-machinery --test apply_oracle\n\n\
         ## Adding a scenario\n\n\
         Write the requests into a file of `crates/conformance/scenarios` (no expectations; the fields of a step are those of\n\
         `Step` in `crates/conformance/src/api/scenario.rs`), build the real server once with\n\
         [`real/build.sh`](real-components.md), and record its answers:\n\n\
         \x20   KOGGE_UPDATE=1 KOGGE_SCENARIO='part of its name' cargo test -p kogge-conformance\n\n\
         Read what was recorded. Then make the embedded server answer the same. Webhooks of a scenario are data too (`Webhook`\n\
         in `crates/conformance/src/api/webhook.rs`); the step `asked` records what they were asked.\n\n\
         ## Accepted differences\n\n",
        scenarios.len()
    );
    for entry in accepted::all() {
        let _ = writeln!(text, "- `{}` at `{}`: {}", entry.scenario, entry.at, entry.reason.trim());
    }
    text.push_str("\n## What is proved\n");
    for item in item::all() {
        let _ = writeln!(text, "\n### {}. {}\n\n{}\n", item.number, item.title, item.text.trim());
        for scenario in scenarios.iter().filter(|scenario| scenario.item == item.number) {
            let _ = writeln!(text, "- {} ({})", scenario.name, scenario.area);
        }
    }
    text
}
