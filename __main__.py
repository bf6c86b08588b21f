"""Deploy the monitoring pipeline of the selected stack: config in, one component, outputs."""

import gc

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env

from components.pipeline import MonitoringPipeline, MonitoringPipelineArgs
from threatmon.model.settings import NAMESPACE, ConfigFaults, parse

# What the imports made is never garbage; that the collector skips it saves 6 % of a preview. Once for each process:
# a second freeze would keep what an earlier run has left for good.
if not gc.get_freeze_count():
    gc.freeze()

stack = pulumi.get_stack()
prefix = f"{NAMESPACE}:"
# pulumi.Config answers for known keys only, so a misspelt one would go unnoticed.
everything = get_config_env() | CONFIG.get()
config = {key.removeprefix(prefix): value for key, value in everything.items() if key.startswith(prefix)}

try:
    settings, warnings = parse(config, stack, everything.get("aws:region"))
except ConfigFaults as faults:
    raise pulumi.RunError(str(faults)) from None
for warning in warnings:
    pulumi.log.warn(warning)

pipeline = MonitoringPipeline("threat-monitor", MonitoringPipelineArgs(settings, stack))
for name, value in pipeline.outputs.items():
    pulumi.export(name, value)
