"""Formats of tutors' dialogues and problems."""

from .format import CSV, JSON, Format, Sign

DIALOGUES = (
    Format(
        "mathdial",
        "dialogue",
        "MathDial: teachers' and students' turns, with the teachers' moves.",
        '{"qid": 6, "question": "…", "student_incorrect_solution": "…",\n'
        ' "conversation": "Teacher: (generic)Hi Scott|EOM|Student: I began with …"}',
        "tutoring.mathdial:read_mathdial",
        (
            Sign(
                "MathDial's fields (qid, conversation, student_incorrect_solution)",
                keys=("qid", "conversation", "student_incorrect_solution"),
                kinds=("JSON Lines",),
            ),
        ),
        finder="tutoring.mathdial:find_mathdial",
    ),
    Format(
        "bridge",
        "dialogue",
        "Bridge: a novice tutor's and an expert's reply to one mistake.",
        '[{"c_id": "4_19", "c_h": [{"user": "student", "text": "7?"}],\n'
        ' "c_r": [{"user": "tutor", "text": "No."}],\n'
        ' "c_r_": [{"user": "tutor", "text": "What is 3 x 4?"}], "e": "guess"}]',
        "tutoring.bridge:read_bridge",
        (Sign("Bridge's fields (c_id, c_h, c_r_)", keys=("c_id", "c_h")),),
        finder="tutoring.bridge:find_bridge",
        lists=True,
    ),
    Format(
        "mrbench",
        "preference",
        "MRBench: human and model tutors' replies to a mistake, with labels.",
        "==> MRBench_V2.json <==\n"
        '[{"conversation_id": "930", "conversation_history": "Tutor: How many?\\nStudent: Nine.",\n'
        ' "Ground_Truth_Solution": "…", "anno_llm_responses":\n'
        '  {"Gemini": {"response": "Count again.", "annotation": {"Tutor_Tone": "Neutral"}}}}]',
        "tutoring.mrbench:read_mrbench",
        (
            Sign(
                "MRBench's fields (conversation_id, anno_llm_responses)",
                keys=("conversation_id", "anno_llm_responses"),
            ),
        ),
        finder="tutoring.mrbench:find_mrbench",
        lists=True,
        together=True,
    ),
    Format(
        "socratic-llm",
        "preference",
        "socratic-llm: rated outputs of model tutors, and prompts.",
        '[{"prompt": "Student: …", "output": " What is 3 x 4?", "evaluation_error": null,\n'
        '  "evaluation": {"questions": "yes", "on_topic": 5.0, "helpful": 3.0,\n'
        '                 "reveal_answer": "no"}, "score": 0.9}]',
        "tutoring.socratic_llm:read_socratic_llm",
        (
            Sign("rated outputs (prompt, output, evaluation)", keys=("prompt", "output", "evaluation")),
            Sign("a list of prompts", text=r'\A\s*\[\s*"', kinds=("JSON list",)),
        ),
        finder="tutoring.socratic_llm:find_socratic_llm",
        lists=True,
    ),
    Format(
        "spock",
        "dialogue",
        "SPOCK: made-up dialogues whose tutor says why it answers so.",
        '{"id": "c1", "conversations": [{"from": "student", "value": "…"},\n'
        ' {"from": "initial_state", "value": {"Evaluation of Student Response": "g",\n'
        ' "Action Based on Evaluation": "12", "Step Number": "1", "Step State": "q",\n'
        ' "Tutorbot Response": "…"}}]}',
        "tutoring.spock:read_spock",
        (
            Sign(
                "dialogues of a tutor that evaluates (Tutorbot Response)",
                keys=("conversations",),
                inside=("Tutorbot Response",),
            ),
            Sign(
                "dialogues of a tutor that evaluates (Evaluation of Student Response)",
                keys=("conversations",),
                text=r"Evaluation of Student Response|Tutorbot Response",
            ),
        ),
        JSON,
        finder="tutoring.spock:find_spock",
        lists=True,
        together=True,
    ),
    Format(
        "spock-problems",
        "preference",
        "SPOCK's problems: wrong answers, feedback, hints, answers.",
        "section_id,problems\n"
        '4.1,"{""Problem"": ""…"", ""SubProblems"": [{""Question"": ""…"", ""Answer"": ""…"",\n'
        ' ""Hint"": ""…"", ""Incorrect Response"": ""…"", ""Feedback"": ""…""}]}"',
        "tutoring.spock_problems:read_spock_problems",
        (Sign("problems with steps (section_id, problems)", keys=("section_id", "problems")),),
        CSV,
        finder="tutoring.spock_problems:find_spock_problems",
    ),
    Format(
        "uptake",
        "dialogue",
        "Uptake: teachers' replies to students, rated by up to three people.",
        "obs_id,exchange_idx,student_text,teacher_text,teacher_on_task,teacher_on_task_num_agree,"
        "teacher_on_task_majority,uptake,uptake_num_agree,uptake_majority\n"
        "4,65,It is 12.,Why did you add them?,1.0,3,1,1.6666666666666667,2,2.0",
        "tutoring.uptake:read_uptake",
        (
            Sign(
                "exchanges with ratings of uptake (obs_id, student_text, teacher_text)",
                keys=("obs_id", "student_text", "teacher_text"),
            ),
        ),
        ("*uptake*.csv", "*uptake*.csv.gz"),
    ),
    Format(
        "cima",
        "dialogue",
        "CIMA: tutors' replies to a learner of Italian, with their actions.",
        '{"prepDataset": {"1": {"past_convo": ["Fill in the blank.", "e sotto il tavolo?"],\n'
        '  "engPrep": "is under the", "engObj": "table", "engColor": "pink",\n'
        '  "studentActions": ["True", "False", "False", "False"],\n'
        '  "tutorResponses": ["Almost! And pink?"],\n'
        '  "tutorActions": [[true, false, true, false, false]]}}, "shapeDataset": {}}',
        "tutoring.cima:read_cima",
        (
            Sign("CIMA's datasets (prepDataset, shapeDataset)", keys=("prepDataset",)),
            Sign("CIMA's datasets (prepDataset, shapeDataset)", keys=("shapeDataset",)),
        ),
        ("*dataset*.json",),
        lists=True,
    ),
    Format(
        "socratic-debugging",
        "dialogue",
        "Socratic Debugging: tutors' turns and alternatives.",
        "==> 0_5_fibonacci_socratic_dialogue.txt <==\n<problem>\nReturn the n-th Fibonacci number.\n"
        "</problem>\n<bug_code>\n1. def fibonacci(n):\n2.    return n\n</bug_code>\n"
        "<dialogue>\nUser: It returns 4 for 4.\nAssistant: What should it return?\n"
        "\t<alt>What does line 2 do?\n</dialogue>",
        "tutoring.socratic_debugging:read_socratic_debugging",
        (
            Sign(
                "problems with bugs and a dialogue (<bug_code>, <dialogue>)",
                text=r"<bug_code>",
                kinds=("text",),
            ),
        ),
        finder="tutoring.socratic_debugging:find_socratic_debugging",
        together=True,
    ),
)
