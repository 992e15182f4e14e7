"""Semantic memory and episodes: followed, served, asked, built anew."""
