"""Deploys the monitoring pipeline of the selected stack: config in, one component, outputs."""

import pulumi
from pulumi.runtime.config import CONFIG, get_config_env

from components.pipeline import MonitoringPipeline, MonitoringPipelineArgs
from threatmon.garbage import keep_imports
from threatmon.settings import NAMESPACE, ConfigFaults, parse

keep_imports()

stack = pulumi.get_stack()
prefix = f"{NAMESPACE}:"
# pulumi.Config can only be asked for keys one knows; a misspelt one would go unnoticed.
everything = get_config_env() | CONFIG.get()
config = {key.removeprefix(prefix): value for key, value in everything.items() if key.startswith(prefix)}

try:
    settings, warnings = parse(config, stack)
except ConfigFaults as faults:
    raise pulumi.RunError(str(faults)) from None
for warning in warnings:
    pulumi.log.warn(warning)

pipeline = MonitoringPipeline("threat-monitor", MonitoringPipelineArgs(settings, stack))
for name, value in pipeline.outputs.items():
    pulumi.export(name, value)
