"""A model behind an address: an arm that runs elsewhere and speaks the Open Inference Protocol.

description (where it is, and what its tensors are called) -> tensors (rows out, numbers back)
endpoint (one request by a deadline, on connections that are kept)
worker (a challenger, watched, by the door of service.challenger), champion
`python -m service.remote` makes the model folder.
"""
