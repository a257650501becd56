"""Old names of modules, functions, options and their values, and the new names.

docs/renamed.md shows the same tables. A config with an old name is refused with a sentence that gives the new name.
"""

import re

OPTIONS = {
    'jitter': 'augment.crop',
    'pack': 'group_runs',
}
FUNCTIONS = {  # that configs may import
    'zip_': 'grid, with a tuple of paths as a key',
}
VALUES = {  # option -> old value -> what to write
    'update': {'ema': "update='follow', rule='ema'"},
}
MODULES = {  # without the leading 'kd_jax.'
    'analyses.alignment': 'analyses.representation_similarity',
    'analyses.bias': 'analyses.class_bias',
    'analyses.clustering': 'analyses.confusable_classes',
    'analyses.combination': 'analyses.specialists',
    'analyses.dark_knowledge': 'analyses.soft_targets',
    'analyses.similarity': 'analyses.class_similarity',
    'cache': 'teacher_cache.cache_options, teacher_cache.replay',
    'checkpoint': 'config.disk_errors, core.inherited_weights, training.checkpoints, training.initial_weights',
    'chips': 'scale.tpu_chips',
    'collectives': 'scale.hlo_collectives',
    'config_file': 'config.config_file',
    'cost': 'scale.step_cost',
    'data.described': 'data.placeholder_sources',
    'data.images': 'data.lazy_images',
    'data.pipeline': 'arrays.batch_names, data.example_order, data.batches',
    'data.stream': 'data.read_ahead',
    'distributed': 'devices.processes',
    'errors': 'config.errors',
    'evaluate': 'evaluation.evaluator',
    'executors.cluster': 'studies.executors.ray_cluster',
    'executors.driving': 'studies.executors.scheduler',
    'executors.local': 'studies.executors.local',
    'export': 'interop.stablehlo, studies.evaluated_network',
    'feed': 'training.batch_feed',
    'hyperparameters': 'config.hyperparameters',
    'initialize': 'core.paths, core.activation_shapes, core.check_recipe, core.initial_state',
    'job': 'core.paths, prepare.run_options, prepare.prepared_run',
    'keys': 'arrays.random_keys',
    'lookup': 'config.import_by_name',
    'losses.arrays': 'arrays.numerics, losses.masks, losses.shape_checks',
    'losses.correlations': 'losses.prediction_relations',
    'losses.decoupled': 'losses.decoupled_kd',
    'losses.layers': 'losses.layer_relations',
    'losses.peers': 'losses.mutual_learning, losses.self_distillation',
    'losses.relations': 'losses.example_relations',
    'losses.teachers': 'losses.several_teachers',
    'losses.top_k': 'arrays.numerics, losses.top_k_kd',
    'member': 'training.active_run',
    'metrics': 'config.json_files, evaluation.classification, training.run_log',
    'models.adapters': 'models.pretrained',
    'models.embeddings': 'models.example_memory',
    'models.opponents': 'models.discriminator, models.learned_temperature, models.adversarial_examples',
    'models.top_k': 'models.top_k_targets',
    'network': 'core.paths, core.network, prepare.parse_networks',
    'optimizers': 'core.optimizers',
    'packs': 'prepare.program_identity, training.stacked_runs, studies.run_groups',
    'preflight': 'scale.preflight',
    'program': 'training.initial_weights, training.chunk_program',
    'provenance': 'training.provenance',
    'recipe': 'core.term, core.recipe, prepare.parse_terms, prepare.parse_recipe',
    'recording': 'teacher_cache.recording',
    'report.check': 'report.check_report',
    'report.claims': 'report.paper_claims',
    'report.curves': 'report.learning_curves',
    'report.format': 'report.number_format',
    'report.markdown': 'report.contents, report.markdown_page',
    'report.page': 'report.contents, report.html_page, report.build',
    'report.panels': 'report.matrix_figures',
    'report.results': 'report.result_files',
    'report.style': 'report.figure_style',
    'report.tables': 'report.tables, report.terminal_tables',
    'results': 'training.run_result',
    'search': 'studies.search_space',
    'sharding': 'devices.mesh, core.placement',
    'step': 'core.paths, core.recipe, core.state, core.forward, core.term_values, core.step',
    'store': 'teacher_cache.array_store',
    'study': 'studies.study, studies.prepare_study, studies.stale_runs, studies.run_groups, studies.execute',
    'sweeps': 'config.sweeps',
    'torch_files': 'interop.pytorch_files',
    'torch_weights': 'interop.pytorch_weights',
    'train': 'training.stop_signals, training.loop',
    'trials': 'studies.optuna_trials',
    'way': 'training.vmap_or_map',
    'workdir': 'studies.workdir',
    'executors': 'studies.executors',
}


def new_value(option: str, value: object) -> str:
    """A sentence with what to write for an old value of an option, '' if it is none."""
    new = VALUES.get(option, {}).get(value) if isinstance(value, str) else None
    return f'It is now {new}.' if new else ''


def new_module(message: str) -> str:
    """A sentence with the new name of the module or function that an import error names; '' if it has no new name."""
    for name in re.findall(r"'(?:kd_jax\.)?([\w.]+)'", message):
        if name in FUNCTIONS:
            return f'{name} is now {FUNCTIONS[name]}.'
        if name in MODULES:
            return f'kd_jax.{name} is now {" and ".join(f"kd_jax.{new}" for new in MODULES[name].split(", "))}.'
    return ''
