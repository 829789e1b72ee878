/* protocol/study/study_internal.h - shared by the files of this folder. */
#ifndef CSL_STUDY_INTERNAL_H
#define CSL_STUDY_INTERNAL_H
#include "base/option.h"
#include "protocol/study/study.h"

/* One parse: the document, the study being filled, where errors go. */
struct csl_study_reader {
    const struct csl_yaml *y;
    struct csl_study *s;
    struct csl_err *err;
};

/* Strategies by name, NULL-terminated; equal to the table of aggregation/strategy (a test says so).
 */
extern const char *const csl_study__strategies[];

/* study_parse.c: for the readers of parts. `section` may be NULL (absent): `rows` then give their
 * defaults, and a section with required rows is refused under the name `key`. */
enum csl_code csl_study__section(const struct csl_study_reader *r, const struct csl_option *rows,
                                 void *target, const struct csl_yaml_node *parent,
                                 const struct csl_yaml_node *section, const char *key);
/* Where an error about `key` of `mapping` points: its value, or the mapping when it is absent. */
const struct csl_yaml_node *csl_study__at(const struct csl_yaml_node *mapping, const char *key);
/* "found 'ten'; EXPECTED would be right", with what the file says shown safely. */
enum csl_code csl_study__found(const struct csl_study_reader *r, const struct csl_yaml_node *at,
                               const char *expected);
/* A sequence of whole numbers from 1 to max; *count from least to most. */
enum csl_code csl_study__u32_list(const struct csl_study_reader *r,
                                  const struct csl_yaml_node *list, uint32_t least, uint32_t most,
                                  uint32_t max, uint32_t *values, uint32_t *count);
/* A sequence with least to most items; says what the items are when it is something else. */
enum csl_code csl_study__check_list(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *list, uint32_t least, uint32_t most,
                                    const char *items);
/* Keys that mean something only under another choice: `keys` (NULL-terminated) must be absent. */
enum csl_code csl_study__refuse_keys(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *mapping, const char *const *keys,
                                     const char *why);
/* The scalar of a list item as an identifier (site names). */
enum csl_code csl_study__id(const struct csl_study_reader *r, const struct csl_yaml_node *item,
                            char out[CSL_ID_MAX]);

/* study_privacy.c: the section, and what it forbids elsewhere in the study (called once all is
 * read). */
enum csl_code csl_study__read_privacy(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root,
                                      const struct csl_yaml_node *section);
enum csl_code csl_study__read_secagg(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *root,
                                     const struct csl_yaml_node *section);
enum csl_code csl_study__check_privacy(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root);

/* study_encoding.c: secure_aggregation.encoding, absent or not, and what it asks of the rest. */
enum csl_code csl_study__read_encoding(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *parent,
                                       const struct csl_yaml_node *section);
enum csl_code csl_study__check_encoding(const struct csl_study_reader *r,
                                        const struct csl_yaml_node *root);

/* study_release.c: sections 'fairness' and 'release'; release is read after fairness. */
struct csl_buf;
enum csl_code csl_study__read_fairness(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root,
                                       const struct csl_yaml_node *section);
enum csl_code csl_study__read_release(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root,
                                      const struct csl_yaml_node *section);
void csl_study__explain_release(const struct csl_study *s, struct csl_buf *out);

/* study_groups.c: fairness.groups of attributes that are read, absent or not; and what forbids it
 * in the rest of the study (called once all is read). */
enum csl_code csl_study__read_groups(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *section);
enum csl_code csl_study__check_groups(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root);
void csl_study__explain_groups(const struct csl_study *s, struct csl_buf *out);

/* study_group_weights.c: fairness.weights, absent or not, and what forbids it in the rest of the
 * study (called once all is read). */
enum csl_code csl_study__read_group_weights(const struct csl_study_reader *r,
                                            const struct csl_yaml_node *parent,
                                            const struct csl_yaml_node *section);
enum csl_code csl_study__check_group_weights(const struct csl_study_reader *r,
                                             const struct csl_yaml_node *root);
void csl_study__explain_group_weights(const struct csl_study *s, struct csl_buf *out);

/* study_domain_weights.c: fairness.domain_weights, likewise. */
enum csl_code csl_study__read_domain_weights(const struct csl_study_reader *r,
                                             const struct csl_yaml_node *parent,
                                             const struct csl_yaml_node *section);
enum csl_code csl_study__check_domain_weights(const struct csl_study_reader *r,
                                              const struct csl_yaml_node *root);
void csl_study__explain_domain_weights(const struct csl_study *s, struct csl_buf *out);

/* study_domain.c */
enum csl_code csl_study__read_domains(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root,
                                      const struct csl_yaml_node *list,
                                      const struct csl_yaml_node *model_default);
enum csl_code csl_study__read_inputs(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *list); /* NULL: none */
/* study_fusion.c: domains that read several inputs, and the inputs' encoders. A domain reads the
 * study's inputs exactly when there are some. */
enum csl_code csl_study__check_reads(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *domain, bool is_fused);
enum csl_code csl_study__read_fused(const struct csl_study_reader *r,

                                    const struct csl_yaml_node *list, struct csl_domain *d);
enum csl_code csl_study__read_encoder(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *input,
                                      const struct csl_yaml_node *section, struct csl_domain *d);
/* Once all is read: widths of the encoders, inputs nobody reads, what cannot be trained yet. */
enum csl_code csl_study__check_fusion(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root);
/* "input" or "domain": what d is of r's study, for errors. */
const char *csl_study__noun(const struct csl_study_reader *r, const struct csl_domain *d);

/* study_merged.c: the key `merged` of a task whose classes are known. */
enum csl_code csl_study__read_merged(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *list, struct csl_domain *d);
void csl_study__explain_merged(const struct csl_domain *d, struct csl_buf *out);

/* study_labels.c: a task of several yes/no labels, whose section says kind: labels. */
bool csl_study__has_labels(const struct csl_yaml_node *section);
enum csl_code csl_study__read_labels(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *at,
                                     const struct csl_yaml_node *section, struct csl_domain *d);

/* study_model.c: the model of a domain whose input and task are known. own: the domain's section,
 * or NULL; shared: the study's, or NULL; errors about neither point at the domain. */
enum csl_code csl_study__read_model(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *domain,
                                    const struct csl_yaml_node *own,
                                    const struct csl_yaml_node *shared, struct csl_domain *d);
/* study_training.c: training, baselines; study_aggregation.c. */
enum csl_code csl_study__read_training(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root,
                                       const struct csl_yaml_node *section);
/* Option rows have closed intervals; these must lie above 0. */
enum csl_code csl_study__check_positive(const struct csl_study_reader *r,
                                        const struct csl_yaml_node *section, const char *key,
                                        double value);
enum csl_code csl_study__read_aggregation(const struct csl_study_reader *r,
                                          const struct csl_yaml_node *root,
                                          const struct csl_yaml_node *section);
enum csl_code csl_study__read_baselines(const struct csl_study_reader *r,
                                        const struct csl_yaml_node *parent,
                                        const struct csl_yaml_node *section, const char *key,
                                        struct csl_baseline *out);
/* study_personal.c: section 'personalisation', absent or not. */
enum csl_code csl_study__read_personal(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root,
                                       const struct csl_yaml_node *section);
void csl_study__explain_personal(const struct csl_study *s, struct csl_buf *out);
/* study_schedule.c: the key `schedule` of `parent`; absent: a constant rate. */
enum csl_code csl_study__read_schedule(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *parent,
                                       const struct csl_yaml_node *section,
                                       struct csl_schedule *out);
/* ", cosine to 0.1 of it over all rounds after 20 steps of warm-up", or nothing. */
struct csl_buf;
void csl_study__explain_schedule(const struct csl_schedule *s, struct csl_buf *out);
/* study_augment.c: of a domain or an input whose shape is known, absent or not. */
enum csl_code csl_study__read_augment(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *parent,
                                      const struct csl_yaml_node *section, struct csl_domain *d);
void csl_study__explain_augment(const struct csl_domain *d, struct csl_buf *out);
/* study_scattering.c: of a domain or an input with `scattering: true` whose shape is that of its
 * images. */
enum csl_code csl_study__read_scattering(const struct csl_study_reader *r,
                                         const struct csl_yaml_node *item, struct csl_domain *d);
/* study_statistics.c: the section, absent or not (fairness was read); and what forbids it in the
 * rest of the study (called once all is read). */
enum csl_code csl_study__read_statistics(const struct csl_study_reader *r,
                                         const struct csl_yaml_node *root,
                                         const struct csl_yaml_node *section);
enum csl_code csl_study__check_statistics(const struct csl_study_reader *r,
                                          const struct csl_yaml_node *root);
void csl_study__explain_statistics(const struct csl_study *s, struct csl_buf *out);
void csl_study__explain_statistics_price(const struct csl_study *s, struct csl_buf *out);
/* study_census.c: section 'census', which sets what training would say; then what it asks
 * of a domain that is read; its block of the schema. */
enum csl_code csl_study__read_census(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *root,
                                     const struct csl_yaml_node *section);
enum csl_code csl_study__check_census_domain(const struct csl_study_reader *r,
                                             const struct csl_yaml_node *item,
                                             const struct csl_domain *d);
enum csl_code csl_study__add_census(struct csl_schema *schema, const struct csl_study *s,
                                    const struct csl_domain *d, struct csl_err *err);
void csl_study__explain_census(const struct csl_study *s, struct csl_buf *out);
/* study_sites.c: sites and simulation. */
enum csl_code csl_study__read_sites(const struct csl_study_reader *r,
                                    const struct csl_yaml_node *root,
                                    const struct csl_yaml_node *section);
enum csl_code csl_study__read_simulation(const struct csl_study_reader *r,
                                         const struct csl_yaml_node *root,
                                         const struct csl_yaml_node *section);
/* study_attack.c: simulation.sites[].attack, and what it asks of the domains once all is read. */
enum csl_code csl_study__read_attack(const struct csl_study_reader *r,
                                     const struct csl_yaml_node *section,
                                     struct csl_sim_attack *out);
enum csl_code csl_study__check_attacks(const struct csl_study_reader *r,
                                       const struct csl_yaml_node *root);
/* study_check.c: contradictions between sections. */
enum csl_code csl_study__check(const struct csl_study_reader *r, const struct csl_yaml_node *root);
/* study_schema.c */
enum csl_code csl_study__build_schema(const struct csl_study_reader *r,
                                      const struct csl_yaml_node *root);
/* study_digest.c */
enum csl_code csl_study__digest(struct csl_study *s, struct csl_err *err);

#endif
