/* Every optimiser and schedule against optimisers.txt (made by make_optimisers.py in 50 digits), on
 * every backend that runs here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "site-agent/training/optimiser.h"
#include "site-agent/training/schedule.h"
#include "tests/unit/training/backends.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define WEIGHTS 3
/* Eight steps, each rounded to binary32 a few times at weights below 4. */
#define TOLERANCE 4e-6

static const char file_name[] = "tests/vectors/training/optimisers.txt";

struct machine {
    const struct csl_compute_ops *ops;
    struct csl_dev *dev;
    struct csl_cbuf *buffers[4]; /* weights, gradient, moments */
    struct csl_optimiser o;
    struct csl_schedule schedule;
    double rate;
    char name[64];
    uint64_t step;
};

static void machine_open(struct machine *m, const struct csl_compute_ops *ops)
{
    *m = (struct machine){.ops = ops};
    assert_int_equal(ops->open(0, &m->dev, NULL), CSL_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(ops->alloc(m->dev, WEIGHTS * sizeof(float), &m->buffers[i], NULL), CSL_OK);
}

static void machine_close(struct machine *m)
{
    for (int i = 0; i < 4; i++)
        m->ops->free(m->buffers[i]);
    m->ops->close(m->dev);
}

static void read_case(struct machine *m, const char *line)
{
    static const char *const kinds[] = {"sgd", "momentum", "adam", "adamw"};
    struct csl_optimiser_config c = {0};
    char kind[16];
    int k = 0;
    assert_int_equal(sscanf(line, "case %63s %15s %lf %lf %lf %lf %lf %lf %lf", m->name, kind,
                            &c.learning_rate, &c.momentum, &c.beta1, &c.beta2, &c.epsilon, &c.l2,
                            &c.decay),
                     9);
    while (k < 4 && strcmp(kinds[k], kind) != 0)
        k++;
    assert_true(k < 4);
    c.kind = (enum csl_optimizer_kind)k;
    csl_optimiser_init(&m->o, &c);
    struct csl_view *views[4] = {&m->o.update.weights, &m->o.update.gradient, &m->o.update.moment1,
                                 &m->o.update.moment2};
    for (uint32_t i = 0; i < 2 + csl_optimiser_moments(c.kind); i++) {
        *views[i] = (struct csl_view){m->buffers[i], 0, WEIGHTS};
        m->ops->zero(m->dev, *views[i]);
    }
    m->rate = c.learning_rate;
    m->step = 0;
}

static void read_schedule(struct machine *m, const char *line)
{
    static const char *const kinds[] = {"constant", "cosine", "step"};
    struct csl_schedule s = {0};
    unsigned long long warmup, steps, every;
    char kind[16];
    int k = 0;
    assert_int_equal(sscanf(line, "schedule %15s %llu %llu %lf %llu %lf", kind, &warmup, &steps,
                            &s.floor, &every, &s.factor),
                     6);
    while (k < 3 && strcmp(kinds[k], kind) != 0)
        k++;
    assert_true(k < 3);
    s.kind = (enum csl_schedule_kind)k;
    s.warmup = warmup;
    s.steps = steps;
    s.every = every;
    m->schedule = s;
}

static void run_step(struct machine *m, const char *line)
{
    float g[WEIGHTS], have[WEIGHTS];
    double want[WEIGHTS];
    assert_int_equal(sscanf(line, "step %f %f %f %lf %lf %lf", &g[0], &g[1], &g[2], &want[0],
                            &want[1], &want[2]),
                     6);
    m->ops->put(m->dev, m->buffers[1], 0, g, sizeof(g));
    m->o.update.rate = csl_schedule_rate(&m->schedule, m->rate, m->step++);
    csl_optimiser_step(&m->o, m->ops, m->dev);
    m->ops->get(m->dev, have, m->buffers[0], 0, sizeof(have));
    assert_int_equal(m->ops->sync(m->dev, NULL), CSL_OK);
    for (int i = 0; i < WEIGHTS; i++)
        if (!(fabs((double)have[i] - want[i]) <= TOLERANCE))
            fail_msg("%s, %s, step %llu, weight %d: %.9g, should be %.17g", m->ops->name, m->name,
                     (unsigned long long)m->step, i, (double)have[i], want[i]);
}

static void run_file(const struct csl_compute_ops *ops)
{
    struct machine m;
    char line[512];
    unsigned cases = 0, steps = 0;
    FILE *file = fopen(file_name, "r");
    assert_non_null(file);
    machine_open(&m, ops);
    while (fgets(line, sizeof(line), file) != NULL) {
        float start[WEIGHTS];
        if (strncmp(line, "case ", 5) == 0) {
            read_case(&m, line);
            cases++;
        } else if (strncmp(line, "schedule ", 9) == 0) {
            read_schedule(&m, line);
        } else if (sscanf(line, "start %f %f %f", &start[0], &start[1], &start[2]) == WEIGHTS) {
            m.ops->put(m.dev, m.buffers[0], 0, start, sizeof(start));
        } else if (strncmp(line, "step ", 5) == 0) {
            run_step(&m, line);
            steps++;
        }
    }
    assert_int_equal(fclose(file), 0);
    machine_close(&m);
    assert_int_equal(cases, 10);
    assert_int_equal(steps, 80);
}

static void test_optimisers__every_step__is_that_of_the_formulas(void **state)
{
    (void)state;
    for (const struct csl_compute_ops *const *b = backends(); *b != NULL; b++)
        run_file(*b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_optimisers__every_step__is_that_of_the_formulas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
