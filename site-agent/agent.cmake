csl_module(csl_site_agent
  SOURCES agent.c agent_study.c agent_bulk.c agent_work.c agent_own.c agent_privacy.c agent_secagg.c
          agent_secagg_journal.c agent_secagg_mask.c agent_secagg_lanes.c agent_secagg_audit.c
          agent_secagg_audit_kept.c agent_secagg_evaluate.c agent_statistics.c agent_weights.c agent_vote.c
  LINK csl_secagg csl_initial csl_site_core csl_site_store csl_training csl_data csl_aggregation csl_evaluate csl_strategy csl_weights csl_study csl_wire
       csl_ledger csl_dp csl_crypto csl_base)
if(CSL_GRPC)
  add_executable(consilium-site main.c config.c)
  target_link_libraries(consilium-site PRIVATE csl_site_agent csl_grpc)
  target_compile_definitions(consilium-site PRIVATE CSL_VERSION="${PROJECT_VERSION}"
    $<$<BOOL:${CSL_TESTS}>:CSL_TEST_SEEDS>) # never in `make build`
endif()
