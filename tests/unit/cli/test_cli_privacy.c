/* `consilium privacy` as people call it. argv[1] is the program. True epsilons are from an
 * independent computation with 34 digits (characteristic functions, contour integration). */
#include "base/str.h"
#include "privacy/dp/gaussian.h"
#include "simulations/result.h"
#include "tests/unit/cli/cli_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PRIVATE "simulations/scenarios/heart-local.yaml"
#define JOINT   "simulations/scenarios/synthetic-joint.yaml --patients a=400,b=300,c=300,d=60"
#define OPEN    "simulations/scenarios/heart-public-constants.yaml"
#define SETTING "--noise-multiplier 1 --sampling-rate 0.01 --steps 10000 --delta 1e-5"

static void assert_between(double low, double v, double high)
{
    if (!(v >= low && v <= high))
        fail_msg("%.17g is not in [%.17g, %.17g]", v, low, high);
}

static void test_cli_privacy__epsilon__holds_the_truth_between_its_bounds(void **state)
{
    static const struct {
        const char *args;
        double truth;
    } rows[] = {
        {SETTING, 6.187712389971539},
        {"--noise-multiplier 1.5 --sampling-rate 0.05 --steps 1000 --delta 1e-6",
         6.199691676147307},
        {"--noise-multiplier 1.1 --sampling-rate 0.02 --steps 2500 --delta 1e-5",
         5.309736430309692},
        {"--noise-multiplier 4 --sampling-rate 0.01 --steps 100000 --delta 1e-10",
         5.166844991846503},
    };
    char args[200];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(args, sizeof(args), "privacy epsilon %s --json", rows[i].args);
        assert_int_equal(cli_run(args), 0);
        struct csl_json_doc *doc = cli_parse_output();
        double truth = rows[i].truth;
        assert_between(truth, cli_number(doc, "epsilon"), 1.01 * truth);
        assert_between(truth, cli_number(doc, "pld/epsilon"), 1.01 * truth);
        assert_between(0.99 * truth, cli_number(doc, "pld/lower"), truth);
        assert_between(truth, cli_number(doc, "rdp/epsilon"), 1.2 * truth);
        assert_true(cli_number(doc, "rdp/order") > 1);
        assert_true(cli_number(doc, "gdp_clt_estimate") < truth);
        csl_json_free(doc);
    }
}

static void test_cli_privacy__epsilon_for_people__is_rounded_up_and_marks_the_estimate(void **state)
{
    double shown = 0, exact;

    (void)state;
    assert_int_equal(cli_run("privacy epsilon " SETTING " --json"), 0);
    struct csl_json_doc *doc = cli_parse_output();
    exact = cli_number(doc, "epsilon");
    csl_json_free(doc);
    assert_int_equal(cli_run("privacy epsilon " SETTING), 0);
    assert_int_equal(sscanf(cli_output, "epsilon %lf", &shown), 1);
    assert_between(exact, shown, exact + 1.01e-4);
    assert_between(6.187712, shown, 6.2496);
    cli_assert_printed("ESTIMATE, not a bound");
    /* So small that four decimals would say nothing. */
    assert_int_equal(cli_run("privacy epsilon --noise-multiplier 100000 --steps 1 --delta 1e-9"),
                     0);
    assert_int_equal(sscanf(cli_output, "epsilon %lf", &shown), 1);
    assert_between(1e-6, shown, 1e-4);
}

static void test_cli_privacy__epsilon_without_sampling__adds_the_closed_forms(void **state)
{
    (void)state;
    /* mu = 1: 4.3771780956812245 (Balle and Wang 2018); zCDP: 1/2 + 2 sqrt(1/2 ln 1e5). */
    assert_int_equal(cli_run("privacy epsilon --noise-multiplier 10 --steps 100 --delta 1e-5 "
                             "--sampler full-batch --json"),
                     0);
    struct csl_json_doc *doc = cli_parse_output();
    assert_between(4.377178095681, cli_number(doc, "analytic"), 4.3771781);
    assert_between(5.298525912, cli_number(doc, "zcdp"), 5.29852592);
    assert_between(4.377178095681, cli_number(doc, "epsilon"), 4.3772);
    assert_false(cli_has(doc, "gdp_clt_estimate"));
    csl_json_free(doc);
}

static void test_cli_privacy__samplers__may_claim_what_they_are(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy epsilon " SETTING " --sampler shuffled --json"), 0);
    struct csl_json_doc *doc = cli_parse_output();
    double shuffled = cli_number(doc, "epsilon");
    csl_json_free(doc);
    assert_int_equal(cli_run("privacy epsilon --noise-multiplier 1 --steps 100 --delta 1e-5 "
                             "--sampler full-batch --json"),
                     0);
    doc = cli_parse_output(); /* 10,000 steps of 1 % are 100 epochs */
    assert_true(cli_number(doc, "epsilon") == shuffled);
    csl_json_free(doc);
    assert_int_equal(cli_run("privacy epsilon " SETTING " --sampler fixed-size --json"), 0);
    doc = cli_parse_output();
    assert_string_equal(cli_text(doc, "adjacency"), "replace-one");
    csl_json_free(doc);
    assert_int_equal(cli_run("privacy epsilon " SETTING " --sampler full-batch"), 2);
    cli_assert_printed("sampling_rate 0.01 with the sampler full-batch");
}

static void test_cli_privacy__solvers__keep_the_epsilon_they_were_given(void **state)
{
    struct csl_json_doc *doc;

    (void)state;
    /* Exact: 1.414619406530604. */
    assert_int_equal(cli_run("privacy noise --epsilon 1 --sampling-rate 0.01 --steps 1000 --delta "
                             "1e-5 --json"),
                     0);
    doc = cli_parse_output();
    assert_between(1.4146194065306, cli_number(doc, "noise_multiplier"), 1.01 * 1.4146194065306);
    assert_between(0.98, cli_number(doc, "epsilon"), 1);
    csl_json_free(doc);
    /* 10,000 steps cost 6.1877 in truth. */
    assert_int_equal(cli_run("privacy steps --epsilon 6.1877 --noise-multiplier 1 --sampling-rate "
                             "0.01 --delta 1e-5 --json"),
                     0);
    doc = cli_parse_output();
    assert_between(9800, cli_number(doc, "steps"), 10000);
    csl_json_free(doc);
    assert_int_equal(cli_run("privacy rate --epsilon 6.1877 --noise-multiplier 1 --steps 10000 "
                             "--delta 1e-5 --json"),
                     0);
    doc = cli_parse_output();
    assert_between(0.0099, cli_number(doc, "sampling_rate"), 0.01);
    csl_json_free(doc);
    /* What moves by twice the clip needs more than twice the noise that Poisson sampling needs. */
    assert_int_equal(cli_run("privacy noise --epsilon 1 --sampling-rate 0.01 --steps 1000 --delta "
                             "1e-5 --sampler fixed-size --json"),
                     0);
    doc = cli_parse_output();
    assert_true(cli_number(doc, "noise_multiplier") > 2 * 1.4146);
    assert_between(0.98, cli_number(doc, "epsilon"), 1);
    csl_json_free(doc);
}

static void test_cli_privacy__a_goal_out_of_reach__is_a_no(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy steps --epsilon 1e-6 --noise-multiplier 1 --delta 1e-12"), 1);
    cli_assert_printed("no steps keeps epsilon 1e-06");
    assert_int_equal(
        cli_run("privacy steps --epsilon 1e-6 --noise-multiplier 1 --delta 1e-12 --json"), 1);
    struct csl_json_doc *doc = cli_parse_output();
    assert_string_equal(cli_text(doc, "error/code"), "BUDGET");
    csl_json_free(doc);
    assert_int_equal(cli_run("privacy rate --epsilon 1 --noise-multiplier 1 --steps 3 --delta 1e-5 "
                             "--sampler shuffled"),
                     2);
}

static void test_cli_privacy__missing_flags__are_named(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy"), 2);
    cli_assert_printed("plan, epsilon, noise");
    assert_int_equal(cli_run("privacy epsilon --noise-multiplier 1 --steps 3"), 2);
    cli_assert_printed("epsilon needs --delta");
    assert_int_equal(cli_run("privacy epsilon --delta 1e-5 --steps 3"), 2);
    cli_assert_printed("needs --noise-multiplier");
    assert_int_equal(cli_run("privacy noise --delta 1e-5 --steps 3"), 2);
    cli_assert_printed("needs --epsilon");
    assert_int_equal(cli_run("privacy epsilon --noise-multiplier nan " SETTING), 2);
    assert_int_equal(cli_run("privacy epsilon " SETTING " --sampling-rate 0"), 2);
    cli_assert_printed("--sampling-rate");
    assert_int_equal(cli_run("privacy epsilon " SETTING " --delta 1"), 2);
    assert_int_equal(cli_run("privacy epsilon more " SETTING), 2);
    assert_int_equal(cli_run("privacy plan"), 2);
    cli_assert_printed("one study file would be right");
}

/* 500 steps of (1 %, 1) and 500 of (2 %, 1.5): exactly 1.897475888397163 together. */
static void test_cli_privacy__compose__prices_together_and_alone(void **state)
{
    (void)state;
    cli_put_file("events.yaml", "delta: 1e-5\nevents:\n"
                                "  - {noise_multiplier: 1, sampling_rate: 0.01, steps: 500}\n"
                                "  - {mechanism: gaussian, sampler: poisson, noise_multiplier: 1.5,"
                                " sampling_rate: 0.02, steps: 500}\n");
    cli_put_file("events.json",
                 "{\"delta\": 1e-5, \"events\": [\n"
                 "{\"noise_multiplier\": 1, \"sampling_rate\": 0.01, \"steps\": 500},\n"
                 "{\"noise_multiplier\": 1.5, \"sampling_rate\": 0.02, \"steps\": "
                 "500}]}\n");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(cli_run(i == 0 ? "privacy compose %/events.yaml --json"
                                        : "privacy compose %/events.json --json"),
                         0);
        struct csl_json_doc *doc = cli_parse_output();
        double together = cli_number(doc, "epsilon");
        assert_between(1.897475888397, together, 1.01 * 1.897475888397);
        assert_true(cli_number(doc, "lower") <= 1.897475888398);
        assert_true(cli_number(doc, "events/0/epsilon") < together);
        assert_true(cli_number(doc, "events/0/epsilon") + cli_number(doc, "events/1/epsilon") >
                    together);
        csl_json_free(doc);
    }
    assert_int_equal(cli_run("privacy compose %/events.yaml --delta 1e-6"), 0);
    cli_assert_printed("at delta 1e-06");
}

static void test_cli_privacy__compose_of_a_wrong_file__names_the_place(void **state)
{
    static const struct {
        const char *text, *complaint;
    } rows[] = {
        {"delta: 1e-5\nevents:\n  - {noise_multiplier: 1, stepz: 3}\n", "wrong.yaml:3:"},
        {"delta: 1e-5\nevents:\n  - {noise_multiplier: 1}\n", "steps"},
        {"delta: 1e-5\nevents:\n  - {noise_multiplier: 0, steps: 3}\n",
         "wrong.yaml:3:24: noise_multiplier: found 0"},
        {"delta: 1e-5\nevents:\n  - {noise_multiplier: 1, steps: 0}\n", "steps: found 0"},
        {"delta: 1e-5\nevents:\n  - {noise_multiplier: 1, steps: 3, sampling_rate: 0}\n",
         "wrong.yaml:3:"},
        {"delta: 1e-5\nevents:\n  - {noise_multiplier: 1, steps: 3, sampler: full-batch, "
         "sampling_rate: 0.5}\n",
         "wrong.yaml:3:"},
        {"delta: 1e-5\nevents:\n  - {mechanism: skellam, noise_multiplier: 1, steps: 3}\n",
         "wrong.yaml:3:"},
        {"delta: 1e-5\nevents:\n  - {noise_multiplier: 1, steps: 3, dimensions: 4}\n",
         "belong to the noise of integers"},
        {"delta: 1e-5\nevents:\n  - 3\n", "wrong.yaml:3:5: found no mapping"},
        {"delta: 1e-5\nevents: []\n", "no list of events"},
        {"events:\n  - {noise_multiplier: 1, steps: 3}\n", "no delta above 0"},
        {"delta: 1e-5\nevents: [{noise_multiplier: 1, steps: 3}]\nmore: 1\n", "wrong.yaml:3:1"},
        {"delta: 1e-5\nevents:\n  - {noise_multiplier: 1, steps: 3}\n"
         "  - {sampler: fixed-size, noise_multiplier: 1, steps: 3, sampling_rate: 0.1}\n",
         "no bound composes the two"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cli_put_file("wrong.yaml", rows[i].text);
        assert_int_equal(cli_run("privacy compose %/wrong.yaml"), 2);
        cli_assert_printed(rows[i].complaint);
    }
    assert_int_equal(cli_run("privacy compose %/absent.yaml"), 2);
}

/* Add or remove: 1.828236666516577; replace: 2.84344025927447, both exact. */
static void test_cli_privacy__compare__shows_every_sampler_and_both_adjacencies(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy compare --noise-multiplier 1 --sampling-rate 0.01 --steps "
                             "1000 --delta 1e-5 --json"),
                     0);
    struct csl_json_doc *doc = cli_parse_output();
    assert_string_equal(cli_text(doc, "samplers/0/sampler"), "poisson");
    assert_between(1.828236666516, cli_number(doc, "samplers/0/add_remove/epsilon"), 1.8465);
    assert_between(2.843440259274, cli_number(doc, "samplers/0/replace_one/epsilon"), 2.8718);
    assert_true(cli_number(doc, "samplers/0/replace_one/pld/lower") <= 2.843440259275);
    assert_string_equal(cli_text(doc, "samplers/1/sampler"), "fixed-size");
    assert_false(cli_has(doc, "samplers/1/add_remove"));
    assert_true(cli_number(doc, "samplers/2/steps_charged") == 10);
    assert_true(cli_number(doc, "samplers/2/add_remove/epsilon") >
                cli_number(doc, "samplers/0/add_remove/epsilon"));
    assert_true(cli_number(doc, "samplers/3/add_remove/epsilon") >
                cli_number(doc, "samplers/2/add_remove/epsilon"));
    csl_json_free(doc);
    assert_int_equal(cli_run("privacy compare --noise-multiplier 1 --sampling-rate 0.01 --steps "
                             "1000 --delta 1e-5"),
                     0);
    cli_assert_printed("one use per epoch");
}

static void test_cli_privacy__plan__solves_every_site_and_every_round(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients big=400,small=40 --json"), 0);
    struct csl_json_doc *doc = cli_parse_output();
    assert_string_equal(cli_text(doc, "solved"), "noise_multiplier");
    for (int i = 0; i < 2; i++) {
        const char *last = i == 0 ? "sites/0/epsilon_by_round/14" : "sites/1/epsilon_by_round/14";
        const char *first = i == 0 ? "sites/0/epsilon_by_round/0" : "sites/1/epsilon_by_round/0";
        assert_between(0.98, cli_number(doc, last), 1);
        assert_between(0.01, cli_number(doc, first), 0.9);
    }
    assert_false(cli_has(doc, "sites/0/epsilon_by_round/15"));
    assert_between(0.01, cli_number(doc, "sites/0/domains/0/sampling_rate"), 0.0100001);
    assert_true(cli_number(doc, "sites/0/domains/0/steps") == 1500);
    assert_true(cli_number(doc, "sites/1/noise_multiplier") >
                cli_number(doc, "sites/0/noise_multiplier"));
    /* Shares are variances of weight * noise / batch, which is the same at both. */
    double a = 10 * cli_number(doc, "sites/0/noise_multiplier");
    double b = cli_number(doc, "sites/1/noise_multiplier");
    double share = b * b / (a * a + b * b);
    assert_between(share * (1 - 1e-6), cli_number(doc, "sites/1/domains/0/noise_share"),
                   share * (1 + 1e-6));
    assert_between(10.0 / 11 - 1e-12, cli_number(doc, "sites/0/domains/0/weight"),
                   10.0 / 11 + 1e-12);
    csl_json_free(doc);
}

static void test_cli_privacy__plan_for_people__hides_sizes_behind_bands(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients big=417,small=43"), 0);
    cli_assert_printed("300-999");
    cli_assert_printed("small brings");
    assert_null(strstr(cli_output, "417"));
    assert_null(strstr(cli_output, "warning"));
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients big=20000,small=43"), 0);
    cli_assert_printed("warning: big: delta 0.0001 is not below one over");
}

#define PLANNED                                                                                    \
    "study: p\ndomains:\n  - {id: ill, modality: tabular, features: [a], task: {kind: binary, "    \
    "label: ill}, model: {kind: linear}}\nrounds: 4\naggregation: {strategy: fedavg}\n"            \
    "privacy: {mode: local, epsilon: 4, delta: 0.001, clip: 1}\n"                                  \
    "training: {local: {learning_rate: 0.1, batch_patients: 20, steps: 5, optimizer: "

/* A schedule costs nothing, and takes no step beyond the full rate; what Adam makes of the noise is
 * not known. */
static void
test_cli_privacy__plan_with_a_schedule__has_the_price_and_noise_of_the_full_rate(void **state)
{
    static const char *const kinds[] = {
        "sgd}}\n", "sgd, schedule: {kind: cosine, warmup: 4, floor: 0.1}}}\n", "adam}}\n"};
    static const char *const says[] = {"to first order in the learning rate.",
                                       "at the schedule's full rate", "std is not stated"};
    double epsilon[3], std[2];
    char text[1024];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "%s%s", PLANNED, kinds[i]);
        cli_put_file("planned.yaml", text);
        assert_int_equal(cli_run("privacy plan %/planned.yaml --patients a=400,b=100"), 0);
        cli_assert_printed(says[i]);
        assert_int_equal(cli_run("privacy plan %/planned.yaml --patients a=400,b=100 --json"), 0);
        struct csl_json_doc *doc = cli_parse_output();
        epsilon[i] = cli_number(doc, "sites/1/epsilon_by_round/3");
        assert_between(epsilon[0], epsilon[i], epsilon[0]);
        if (i < 2) {
            std[i] = cli_number(doc, "sites/1/domains/0/noise_std_in_mean");
            assert_between(std[0], std[i], std[0]);
        } else {
            assert_false(cli_has(doc, "sites/1/domains/0/noise_std_in_mean"));
        }
        csl_json_free(doc);
    }
}

static void test_cli_privacy__plan_with_fixed_noise__says_who_runs_out_first(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients a=400,b=40 --noise 8"), 1);
    cli_assert_printed("b runs out first: its budget pays for");
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients a=400,b=40 --noise 8 --json"), 1);
    struct csl_json_doc *doc = cli_parse_output();
    double paid = cli_number(doc, "sites/1/rounds_paid");
    char round[64];
    assert_between(1, paid, 14);
    snprintf(round, sizeof(round), "sites/1/epsilon_by_round/%d", (int)paid - 1);
    assert_true(cli_number(doc, round) <= 1);
    snprintf(round, sizeof(round), "sites/1/epsilon_by_round/%d", (int)paid);
    assert_true(cli_number(doc, round) > 1);
    csl_json_free(doc);
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients a=400,b=40 --noise 8 --epsilon "
                             "20"),
                     0);
    cli_assert_printed("b spends most");
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients a=400,b=40 --noise 1"), 1);
    cli_assert_printed("b runs out first: its budget does not pay for one round");
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients a=400,b=40 --rounds 2 --json"),
                     0);
    doc = cli_parse_output();
    assert_between(0.98, cli_number(doc, "sites/0/epsilon_by_round/1"), 1);
    assert_false(cli_has(doc, "sites/0/epsilon_by_round/2"));
    csl_json_free(doc);
}

static void test_cli_privacy__plan_from_the_records__counts_training_patients(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy plan simulations/scenarios/synthetic-private.yaml --rounds 2 "
                             "--noise 40 --json"),
                     0);
    struct csl_json_doc *doc = cli_parse_output();
    assert_string_equal(cli_text(doc, "sites/7/id"), "coimbra");
    assert_true(cli_number(doc, "sites/0/patients") > cli_number(doc, "sites/7/patients"));
    assert_true(cli_number(doc, "sites/7/patients") > 0);
    assert_string_equal(cli_text(doc, "solved"), "epsilon");
    assert_between(1e-6, cli_number(doc, "sites/7/epsilon_by_round/0"),
                   cli_number(doc, "sites/7/epsilon_by_round/1"));
    csl_json_free(doc);
}

static void test_cli_privacy__plan_that_cannot_be__says_why(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy plan " OPEN), 1);
    cli_assert_printed("has no privacy (mode none)");
    assert_int_equal(cli_run("privacy plan " OPEN " --json"), 1);
    struct csl_json_doc *doc = cli_parse_output();
    assert_string_equal(cli_text(doc, "error/code"), "STATE");
    csl_json_free(doc);
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients a=1x"), 2);
    cli_assert_printed("--patients: found 'a=1x'");
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients a=10,a=20"), 2);
    cli_assert_printed("found a twice");
    assert_int_equal(cli_run("privacy plan " PRIVATE " --data /nonexistent"), 2);
    cli_assert_printed("is not below /nonexistent");
    assert_int_equal(cli_run("privacy plan " PRIVATE " --data x --patients a=3"), 2);
    assert_int_equal(cli_run("privacy plan %/absent.yaml"), 2);
}

/* Noise of six shares; epsilon .1472 of a full batch with sigma 17.45 needs sqrt(8 / 6) or
 * sqrt(7 / 6) times that sigma here. */
static void test_cli_privacy__plan_with_survivors__prices_the_sums(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy plan " JOINT " --survivors 8,7,7 --json"), 0);
    struct csl_json_doc *doc = cli_parse_output();
    double noise = cli_number(doc, "sites/0/noise_multiplier");
    const struct {
        const char *path;
        double inverse; /* of the squared noise over that of one share */
    } rows[] = {{"realised/0/epsilon_coordinator", 1.0 / 8},
                {"realised/0/epsilon_colluding", 1.0 / 7},
                {"realised/0/epsilon_planned", 1.0 / 6},
                {"realised/2/epsilon_coordinator", 1.0 / 8 + 2.0 / 7},
                {"realised/2/epsilon_colluding", 1.0 / 7 + 2.0 / 6},
                {"realised/2/epsilon_planned", 3.0 / 6}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double exact = csl_dp_gaussian_eps_lower(sqrt(6 * rows[i].inverse) / noise, 1e-4);
        assert_between(exact, cli_number(doc, rows[i].path), exact * 1.002);
    }
    csl_json_free(doc);
    assert_int_equal(cli_run("privacy plan " JOINT " --survivors 8,7,7"), 0);
    cli_assert_printed("against it with 1 site");
    cli_assert_printed("       2        7 ");
    assert_int_equal(cli_run("privacy plan " JOINT " --survivors 8,6"), 2);
    cli_assert_printed("found '6' for round 2; 7, the fewest sites");
    assert_int_equal(cli_run("privacy plan " JOINT " --survivors 8,,8"), 2);
    assert_int_equal(cli_run("privacy plan " JOINT " --rounds 2 --survivors 8,8,8"), 2);
    cli_assert_printed("found 3 numbers; at most 2");
    assert_int_equal(cli_run("privacy plan " PRIVATE " --patients a=9 --survivors 8"), 2);
    cli_assert_printed("only the sums of mode joint");
}

static void test_cli_privacy__study_check__points_to_the_plan(void **state)
{
    (void)state;
    assert_int_equal(cli_run("study check " PRIVATE), 0);
    cli_assert_printed("consilium privacy plan");
}

/* A run of one site as `simulate` leaves it; canaries 0: not audited. */
static void put_run(uint32_t canaries, double epsilon_lower)
{
    struct csl_result r = {.study = "s", .privacy = "local", .transport = "inproc"};
    struct csl_buf json, csv;

    assert_int_equal(csl_result_init(&r, 1, 1, NULL), CSL_OK);
    assert_true(csl_str_copy(r.domains[0].id, sizeof(r.domains[0].id), "heart"));
    assert_true(csl_str_copy(r.domains[0].label, sizeof(r.domains[0].label), "disease"));
    assert_true(csl_str_copy(r.sites[0].id, sizeof(r.sites[0].id), "lyon"));
    r.sites[0].privacy = (struct csl_result_privacy){.is_present = true,
                                                     .epsilon = 1.5,
                                                     .delta = 1e-5,
                                                     .budget_epsilon = 2,
                                                     .noise_multiplier = 1,
                                                     .canaries = canaries,
                                                     .guesses = canaries / 10,
                                                     .correct = canaries / 12,
                                                     .audit_epsilon_lower = epsilon_lower,
                                                     .audit_confidence = 0.95};
    csl_buf_init(&json, 1 << 20);
    csl_buf_init(&csv, 1 << 20);
    assert_int_equal(csl_result_write_json(&r, &json, NULL), CSL_OK);
    csl_result_write_csv(&r, &csv);
    cli_put_file("summary.json", csl_buf_text(&json));
    cli_put_file("metrics.csv", csl_buf_text(&csv));
    csl_buf_release(&json);
    csl_buf_release(&csv);
    csl_result_release(&r);
}

static void test_cli_privacy__audit__sets_what_was_seen_beside_the_ledger(void **state)
{
    (void)state;
    put_run(1000, 0.91234);
    assert_int_equal(cli_run("privacy audit %"), 0);
    cli_assert_printed("0.9123");
    cli_assert_printed("No audit contradicts its ledger");
    put_run(1000, 1.6);
    assert_int_equal(cli_run("privacy audit %"), 1);
    cli_assert_printed("The mechanism does not keep its promise at 1 site");
    assert_int_equal(cli_run("privacy audit % --json"), 1);
    struct csl_json_doc *doc = cli_parse_output();
    assert_string_equal(cli_text(doc, "sites/0/verdict"), "broken");
    csl_json_free(doc);
}

static void test_cli_privacy__audit_of_a_run_without_one__is_a_no(void **state)
{
    (void)state;
    put_run(0, 0);
    assert_int_equal(cli_run("privacy audit %"), 1);
    cli_assert_printed("was not audited");
    assert_int_equal(cli_run("privacy audit /nonexistent"), 2);
}

/* Of each block the sites that have it; with other sites a block may have too few. */
static void
test_cli_privacy__plan_of_inputs_in_mode_joint__says_the_noise_of_each_block(void **state)
{
    (void)state;
    assert_int_equal(cli_run("privacy plan simulations/scenarios/synthetic-joint-inputs.yaml"), 0);
    cli_assert_printed("the price counts 3 shares, of the 4 sites");
    cli_assert_printed("over 8 sites that have it");
    cli_assert_printed("rhythm                   std");
    cli_assert_printed("over 4 sites that have it");
    cli_assert_printed("input.xray               std");
    assert_int_equal(cli_run("privacy plan simulations/scenarios/synthetic-joint-inputs.yaml "
                             "--patients a=100,b=100,c=50"),
                     0);
    cli_assert_printed("over 3 sites that have it");
    cli_assert_printed("fewer than minimum_sites 4: the study cannot run");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cli_privacy__epsilon__holds_the_truth_between_its_bounds),
        cmocka_unit_test(
            test_cli_privacy__epsilon_for_people__is_rounded_up_and_marks_the_estimate),
        cmocka_unit_test(test_cli_privacy__epsilon_without_sampling__adds_the_closed_forms),
        cmocka_unit_test(test_cli_privacy__samplers__may_claim_what_they_are),
        cmocka_unit_test(test_cli_privacy__solvers__keep_the_epsilon_they_were_given),
        cmocka_unit_test(test_cli_privacy__a_goal_out_of_reach__is_a_no),
        cmocka_unit_test(test_cli_privacy__missing_flags__are_named),
        cmocka_unit_test(test_cli_privacy__compose__prices_together_and_alone),
        cmocka_unit_test(test_cli_privacy__compose_of_a_wrong_file__names_the_place),
        cmocka_unit_test(test_cli_privacy__compare__shows_every_sampler_and_both_adjacencies),
        cmocka_unit_test(test_cli_privacy__plan__solves_every_site_and_every_round),
        cmocka_unit_test(test_cli_privacy__plan_for_people__hides_sizes_behind_bands),
        cmocka_unit_test(
            test_cli_privacy__plan_with_a_schedule__has_the_price_and_noise_of_the_full_rate),
        cmocka_unit_test(test_cli_privacy__plan_with_fixed_noise__says_who_runs_out_first),
        cmocka_unit_test(test_cli_privacy__plan_from_the_records__counts_training_patients),
        cmocka_unit_test(test_cli_privacy__plan_that_cannot_be__says_why),
        cmocka_unit_test(test_cli_privacy__plan_with_survivors__prices_the_sums),
        cmocka_unit_test(
            test_cli_privacy__plan_of_inputs_in_mode_joint__says_the_noise_of_each_block),
        cmocka_unit_test(test_cli_privacy__study_check__points_to_the_plan),
        cmocka_unit_test(test_cli_privacy__audit__sets_what_was_seen_beside_the_ledger),
        cmocka_unit_test(test_cli_privacy__audit_of_a_run_without_one__is_a_no),
    };

    if (argc != 2) {
        fprintf(stderr, "usage: test_cli_privacy PROGRAM\n");
        return 2;
    }
    cli_program = argv[1];
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
