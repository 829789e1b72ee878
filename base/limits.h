/* base/limits.h - every maximum of the system in one place. A container without a row here is a
 * bug; a peer, file or operator exceeding one gets CSL_E_LIMIT. */
#ifndef CSL_BASE_LIMITS_H
#define CSL_BASE_LIMITS_H

#define CSL_ID_MAX             64    /* bytes of a site, study, block or feature id, with NUL */
#define CSL_SITES_MAX          4096  /* sites of one study */
#define CSL_DOMAINS_MAX        32    /* domains of one study */
#define CSL_GROUP_WEIGHTS_MAX  48    /* published values of patient groups: 4 attributes of 12 */
#define CSL_STUDY_INPUTS_MAX   16    /* inputs that domains of one study share */
#define CSL_FEATURES_MAX       65536 /* flattened input width of one domain */
#define CSL_NAMED_FEATURES_MAX 4096  /* features listed by name in a study */
#define CSL_CLASSES_MAX        64    /* classes of one task */
#define CSL_TASK_LABELS_MAX    32    /* yes/no labels of one task */
#define CSL_BLOCKS_MAX         64    /* blocks of one model */
#define CSL_TENSORS_MAX        512   /* tensors of one model */
#define CSL_RANK_MAX           4     /* axes of one tensor */
#define CSL_PARAMETERS_MAX     (UINT64_C(1) << 32) /* parameters of one model */
#define CSL_RECORDS_MAX        (UINT64_C(1) << 32) /* records of one site */
#define CSL_ROUNDS_MAX         1000000             /* rounds of one study */
#define CSL_HIDDEN_LAYERS_MAX  8                   /* hidden layers of an mlp */
#define CSL_MSG_BYTES_MAX      (256u * 1024u)      /* one control message */
#define CSL_MSG_HEAP_MAX       (768u * 1024u)      /* heap one decoded control message may use */
#define CSL_SECAGG_BYTES_MAX   (192u * 1024u)      /* a part of a secagg message */
#define CSL_CHUNK_BYTES_MAX    (1024u * 1024u)     /* data bytes of one bulk chunk */
#define CSL_MANIFEST_BYTES_MAX (128u * 1024u)      /* a study file */
#define CSL_YAML_NODES_MAX     65536               /* nodes of one YAML document */
#define CSL_YAML_DEPTH_MAX     16                  /* nesting of one YAML document */
#define CSL_OUTBOX_MESSAGES    64                  /* control messages waiting for one peer */
#define CSL_MAILBOX_EVENTS     65536               /* events waiting for one core */
#define CSL_GATE_WINDOW_MAX    64                  /* accepted rounds that a gate remembers */
#define CSL_METRICS_MAX        32                  /* metrics of one scope */
#define CSL_SCORE_BINS         256                 /* bins of a score histogram */
#define CSL_GROUP_COUNTS_MAX   1024                /* counts by patient group, of one domain */
#define CSL_GROUP_COUNTS_STUDY 16384               /* likewise, of all domains of a study */

/* One message of secure aggregation: so many parts, so that two of them fit an outbox. */
#define CSL_SECAGG_AUDITS_MAX 64u /* chunks of one sum that a site may ask for */
#define CSL_SECAGG_PARTS_MAX  16u
#define CSL_SECAGG_WHOLE_MAX  (CSL_SECAGG_PARTS_MAX * CSL_SECAGG_BYTES_MAX)

#endif
