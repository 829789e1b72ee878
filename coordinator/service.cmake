csl_module(csl_coordinator
  SOURCES service.c service_events.c service_log.c service_bulk.c service_round.c service_fold.c service_updates.c service_mixture.c service_state.c service_heads.c
          service_secagg.c service_secagg_words.c service_secagg_config.c service_secagg_floors.c
          service_secagg_roster.c service_secagg_journal.c service_secagg_stuck.c
          service_secagg_unmasked.c service_secagg_lanes.c service_secagg_audit.c
          service_secagg_audit_kept.c service_secagg_evaluate.c service_secagg_statistics.c published.c published_groups.c publications.c service_gate.c
          service_gate_kept.c service_kept.c service_vote.c service_groups.c heads.c
  LINK csl_evaluate csl_weights csl_secagg csl_ledger csl_coord_core csl_coord_store csl_model csl_initial csl_aggregation csl_strategy csl_study
       csl_wire csl_crypto csl_base
  PRIVATE_LINK PkgConfig::SODIUM)
if(CSL_GRPC)
  add_executable(consilium-coordinator main.c config.c)
  target_link_libraries(consilium-coordinator PRIVATE csl_coordinator csl_grpc csl_identity)
  target_compile_definitions(consilium-coordinator PRIVATE CSL_VERSION="${PROJECT_VERSION}")
endif()
