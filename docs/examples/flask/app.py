"""A page that tells stories: Flask in front, and the official client behind it, with a Bobbin where OpenAI would be.

    pip install flask openai
    OPENAI_BASE_URL=http://localhost:3000/v1 OPENAI_API_KEY=none flask --app docs/examples/flask/app run
"""

from flask import Flask, Response, render_template, request
from openai import APIError, OpenAI

app = Flask(__name__)
client = OpenAI()


@app.get("/")
def page() -> str:
    return render_template("page.html", models=[model.id for model in client.models.list() if model.id != "embedder"])


@app.post("/story")
def story() -> Response:
    """The story as plain text, piece by piece: what a piece says is on its way before the next one is made."""
    try:
        chunks = client.chat.completions.create(
            model=request.form["model"],
            messages=[{"role": "user", "content": request.form["opening"]}],
            max_tokens=120,
            stream=True,
        )
    except APIError as error:
        return Response(error.message, getattr(error, "status_code", 502), mimetype="text/plain")

    def pieces():
        # Closed with the answer, so that a reader who leaves ends the story.
        with chunks:
            for chunk in chunks:
                yield chunk.choices[0].delta.content or ""

    return Response(pieces(), mimetype="text/plain")
