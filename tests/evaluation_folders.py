"""Folders of evaluations written from known truth, in the layouts of the evaluation harness."""

import json
import math


def write(path, results, *, model_args, shots=0, layout="old"):
    """Write one file; `results` is {task: {metric: (value, stderr or None)}}."""
    path.parent.mkdir(parents=True, exist_ok=True)
    document = (old if layout == "old" else current)(results, model_args, shots)
    path.write_text(json.dumps(document))
    return path


def old(results, model_args, shots):
    flat = {
        task: {
            **{metric: value for metric, (value, _) in metrics.items()},
            **{f"{m}_stderr": error for m, (_, error) in metrics.items() if error is not None},
        }
        for task, metrics in results.items()
    }
    config = {"model": "hf-causal", "model_args": model_args, "num_fewshot": shots}
    return {"results": flat, "versions": dict.fromkeys(flat, 0), "config": config}


def current(results, model_args, shots):
    flat = {
        task: {
            "alias": task,
            "sample_len": 100,
            **{f"{metric},none": value for metric, (value, _) in metrics.items()},
            **{f"{m}_stderr,none": "N/A" if e is None else e for m, (_, e) in metrics.items()},
        }
        for task, metrics in results.items()
    }
    better = {t: {m: "ppl" not in m and "perplexity" not in m for m in results[t]} for t in results}
    return {
        "results": flat,
        "group_subtasks": {task: [] for task in flat},
        "configs": {task: {"task": task, "num_fewshot": shots} for task in flat},
        "versions": dict.fromkeys(flat, 1.0),
        "n-shot": dict.fromkeys(flat, shots),
        "higher_is_better": better,
        "config": {"model": "hf", "model_args": model_args},
    }


def standard_error(p, questions):
    return math.sqrt(p * (1 - p) / (questions - 1))


def neox(path, results, *, iteration, config_file, saved, prompted=False):
    """Write a file as GPT-NeoX's own evaluation did: the step in `iteration`, no repository."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arguments = {"iteration": iteration, "save_iters": saved, "config_files": {config_file: {}}}
    flat = old(results, "", 0)["results"]
    if prompted:
        listed = [{"task_name": task, **metrics} for task, metrics in flat.items()]
        document = {"results": listed, "table_results": flat}
    else:
        document = {"results": flat}
    document["config"] = {"model": "neox", "model_args": arguments, "num_fewshot": 0}
    path.write_text(json.dumps(document))
