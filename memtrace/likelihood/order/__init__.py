"""Does training order matter, in the log-likelihoods?"""
