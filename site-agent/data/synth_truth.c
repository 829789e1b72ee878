#include "site-agent/data/synth_truth.h"

#include "site-agent/data/record.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/banned.h"

/* The last two features of each table carry nothing; values are missing only there, so that the
 * best score stays known. */
static const struct csl_synth_feature heart[] = {
    {"systolic_pressure", "mmHg", 132.0, 18.0, 0.5}, {"cholesterol", "mg/dl", 215.0, 40.0, 0.4},
    {"max_heart_rate", "1/min", 146.0, 20.0, -0.7},  {"st_depression", "mm", 1.2, 0.6, 0.9},
    {"fasting_glucose", "mg/dl", 105.0, 15.0, 0.3},  {"troponin", "ng/l", 14.0, 3.0, 1.0},
    {"ejection_fraction", "%", 56.0, 8.0, -0.8},     {"creatinine", "mg/dl", 1.0, 0.15, 0.0},
    {"sodium", "mmol/l", 140.0, 3.0, 0.0},
};
static const struct csl_synth_feature mortality[] = {
    {"heart_rate", "1/min", 88.0, 14.0, 0.6},
    {"mean_arterial_pressure", "mmHg", 78.0, 11.0, -0.7},
    {"respiratory_rate", "1/min", 19.0, 3.0, 0.5},
    {"temperature", "celsius", 37.0, 0.7, 0.2},
    {"oxygen_saturation", "%", 93.0, 2.0, -0.6},
    {"lactate", "mmol/l", 2.4, 0.5, 1.0},
    {"ph", "pH", 7.36, 0.05, -0.5},
    {"urea", "mmol/l", 9.0, 1.8, 0.6},
    {"coma_scale", "points", 11.0, 1.6, -0.9},
    {"white_cells", "10^9/l", 11.0, 2.0, 0.3},
    {"potassium", "mmol/l", 4.1, 0.4, 0.0},
    {"blood_glucose", "mg/dl", 135.0, 20.0, 0.0},
};
static const struct csl_synth_feature survival[] = {
    {"tumour_size", "mm", 28.0, 5.0, 0.8},    {"tumour_grade", "score", 2.1, 0.4, 0.6},
    {"lymph_nodes", "score", 3.0, 0.6, 1.0},  {"performance", "score", 1.5, 0.3, 0.7},
    {"haemoglobin", "g/dl", 12.8, 1.2, -0.4}, {"albumin", "g/l", 39.0, 4.0, -0.5},
    {"calcium", "mmol/l", 2.35, 0.08, 0.0},   {"body_mass_index", "kg/m2", 26.5, 3.5, 0.0},
};

#define COUNT(x) (uint32_t)(sizeof(x) / sizeof((x)[0]))

const struct csl_synth_task csl_synth_tasks[CSL_SYNTH_TASKS] = {
    {"heart", CSL_SYNTH_TABLE, false, {COUNT(heart)}, 1, COUNT(heart), 1.6, heart},
    {"mortality", CSL_SYNTH_TABLE, false, {COUNT(mortality)}, 1, COUNT(mortality), 1.9, mortality},
    {"survival", CSL_SYNTH_TABLE, true, {COUNT(survival)}, 1, COUNT(survival), 1.1, survival},
    {"xray", CSL_SYNTH_IMAGE, false, {16, 16, 1}, 3, 256, 2.3, NULL},
    {"ultrasound", CSL_SYNTH_IMAGE, false, {16, 16, 1}, 3, 256, 2.1, NULL},
    {"ecg", CSL_SYNTH_SIGNAL, false, {64, 3}, 2, 192, 2.0, NULL},
};

static double bump(double x, double centre, double width)
{
    double z = (x - centre) / width;
    return exp(-0.5 * z * z);
}

/* Shape of the finding before it is made orthogonal to everything else. */
static double finding(const struct csl_synth_task *task, uint32_t i)
{
    static const double lead[3] = {1.0, 0.6, -0.8};
    const uint32_t sample = i / 3, row = i / 16, column = i % 16;
    if (task->kind == CSL_SYNTH_SIGNAL) /* a change between the main complex and the next beat */
        return lead[i % 3] * bump(sample, 37.0, 5.0);
    if (strcmp(task->label, "xray") == 0) /* an opacity in the lower field */
        return bump(row, 10.5, 2.0) * bump(column, 11.0, 2.2);
    double radius = hypot(row - 8.0, column - 7.0); /* a rim around a mass */
    return bump(radius, 4.0, 1.2);
}

static double scene(const struct csl_synth_task *task, uint32_t i)
{
    static const double lead[3] = {1.0, -0.5, 0.7};
    const uint32_t sample = i / 3, row = i / 16, column = i % 16;
    if (task->kind == CSL_SYNTH_SIGNAL)
        return lead[i % 3] * (4.0 * bump(sample, 22.0, 1.5) + 0.8 * bump(sample, 10.0, 3.0));
    if (strcmp(task->label, "xray") == 0) /* two dark fields beside a bright middle */
        return 2.0 * bump(column, 7.5, 1.5) - bump(column, 3.5, 2.0) - bump(column, 11.5, 2.0);
    return 1.5 - row / 8.0; /* less comes back from deeper */
}

void csl_synth_background(const struct csl_synth_task *task, double *b)
{
    for (uint32_t i = 0; i < task->width; i++)
        b[i] = task->kind == CSL_SYNTH_TABLE ? 0.0 : scene(task, i);
}

static double dot(const double *a, const double *b, uint32_t n)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static double mean(const double *a, uint32_t n)
{
    double sum = 0.0;
    for (uint32_t i = 0; i < n; i++)
        sum += a[i];
    return sum / n;
}

void csl_synth_direction(const struct csl_synth_task *task, double *t)
{
    uint32_t n = task->width;
    for (uint32_t i = 0; i < n; i++)
        t[i] = task->kind == CSL_SYNTH_TABLE ? task->features[i].weight : finding(task, i);
    if (task->kind != CSL_SYNTH_TABLE) {
        double b[CSL_SYNTH_WIDTH_MAX];
        csl_synth_background(task, b);
        double t_mean = mean(t, n), b_mean = mean(b, n);
        for (uint32_t i = 0; i < n; i++) {
            t[i] -= t_mean;
            b[i] -= b_mean;
        }
        double along = dot(t, b, n) / dot(b, b, n);
        for (uint32_t i = 0; i < n; i++)
            t[i] -= along * b[i];
    }
    double length = sqrt(dot(t, t, n));
    for (uint32_t i = 0; i < n; i++)
        t[i] /= length;
}

/* Trapezium rule over +-8 standard deviations: for a smooth integrand that has vanished at both
 * ends its error is far below the last digit shown. */
static double best_concordance(double s)
{
    enum { POINTS = 401 };
    double risk[POINTS], density[POINTS], right = 0.0, comparable = 0.0;
    for (int i = 0; i < POINTS; i++) {
        double z = -8.0 + 16.0 * i / (POINTS - 1);
        risk[i] = exp(s * z);
        density[i] = exp(-0.5 * z * z);
    }
    for (int i = 0; i < POINTS; i++) {
        for (int k = 0; k < POINTS; k++) {
            double sum = risk[i] + risk[k];
            double weight = density[i] * density[k] / (sum + 2.0 * CSL_SYNTH_CENSORING);
            right += weight * fmax(risk[i], risk[k]);
            comparable += weight * sum;
        }
    }
    return right / comparable;
}

double csl_synth_bayes_score(const char *domain_label)
{
    static const char *const form[] = {"-table", "-image", "-signal"};
    for (int i = 0; i < CSL_SYNTH_TASKS; i++) {
        const struct csl_synth_task *t = &csl_synth_tasks[i];
        size_t n = strlen(t->label);
        if (strncmp(domain_label, t->label, n) != 0 ||
            (domain_label[n] != '\0' && strcmp(domain_label + n, form[t->kind]) != 0))
            continue;
        if (t->is_survival)
            return best_concordance(t->strength);
        return 0.5 * erfc(-t->strength / 2.0); /* Phi(d / sqrt 2) */
    }
    return (double)NAN;
}
