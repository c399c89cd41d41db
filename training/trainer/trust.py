"""Let transformers run no code of a model's folder that --trust-remote-code does not allow."""


def refuse_to_ask() -> None:
    """Keep transformers from asking at the terminal whether a model's code may run.

    It asks where a library leaves trust_remote_code out, as TRL does for chat_template_path, and a "y" typed
    or piped would run the code; now that is an error.
    """
    from transformers import dynamic_module_utils

    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0
